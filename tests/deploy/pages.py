"""The pages that describe the project, for the tests that compare them with deploy/."""

from rendering import ROOT


def pages():
    """Returns the texts of the README and of docs/, by path.

    The changelog is not one of them: it names old versions and old paths.
    """
    paths = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for path in paths
        if path.name != "CHANGELOG.md"
    }


def all_pages():
    return "\n".join(pages().values())
