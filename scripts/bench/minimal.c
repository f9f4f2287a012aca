/* The least that a checker in C can be: one call of the API, without a deadline, and
 * without a look at the length, the status code or the form of the answer. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int count, char **arguments) {
    static const char request[] =
        "GET /updates/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[65536];
    size_t length = 0;
    ssize_t received;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (count != 2 || fd < 0) return 3;
    strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return 3;
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) return 3;
    while (length < sizeof answer - 1
           && (received = recv(fd, answer + length, sizeof answer - 1 - length, 0)) > 0)
        length += received;
    answer[length] = 0;
    if (!strstr(answer, "\"update_state\":\"Ready\"")) return 1;
    puts("yes: an update is Ready");
    return 0;
}
