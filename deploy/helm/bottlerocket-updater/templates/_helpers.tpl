{{/* The parts that several objects share. All names begin with the chart's name. */}}

{{/*
The labels of an object or a pod. Takes the root, the name of the program (app) or else of the
object, and more labels.
*/}}
{{- define "bottlerocket-updater.labels" -}}
{{- $own := dict "app.kubernetes.io/name" (.app | default .name) "app.kubernetes.io/part-of" "bottlerocket-updater" }}
{{- mergeOverwrite (dict) .root.Values.labels (.more | default dict) $own | toYaml }}
{{- end }}

{{/* The name and labels of an object. Takes the root, the name, and more labels. */}}
{{- define "bottlerocket-updater.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "bottlerocket-updater.labels" . | nindent 2 }}
{{- with .root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The annotations of a pod, if there are any. Takes the root, and more annotations. */}}
{{- define "bottlerocket-updater.podAnnotations" -}}
{{- with mergeOverwrite (dict) .root.Values.annotations (.more | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The name of an image. Takes the image's values and the tag if they have none. */}}
{{- define "bottlerocket-updater.image" -}}
{{- with .image.registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .tag }}{{ end }}
{{- end }}

{{/* The image of our programs, and its pull policy. Takes the root. */}}
{{- define "bottlerocket-updater.ourImage" -}}
image: {{ include "bottlerocket-updater.image" (dict "image" .Values.image "tag" (print "v" .Chart.AppVersion)) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* Where the pods may run, and how important they are. Takes the root. */}}
{{- define "bottlerocket-updater.scheduling" -}}
priorityClassName: {{ .Values.priorityClassName }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        {{- if .Values.bottlerocketNodesOnly }}
        - matchExpressions:
            {{- include "bottlerocket-updater.nodes" . | nindent 12 }}
            - key: bottlerocket-updater
              operator: In
              values: [enabled]
        - matchExpressions:
            {{- include "bottlerocket-updater.nodes" . | nindent 12 }}
            - key: feature.node.kubernetes.io/system-os_release.ID
              operator: In
              values: [bottlerocket]
        {{- else }}
        - matchExpressions:
            {{- include "bottlerocket-updater.nodes" . | nindent 12 }}
        {{- end }}
{{- end }}

{{/* The conditions that each node must meet. Takes the root. */}}
{{- define "bottlerocket-updater.nodes" -}}
- key: kubernetes.io/os
  operator: In
  values: [linux]
- key: kubernetes.io/arch
  operator: In
  values: [amd64, arm64]
- key: eks.amazonaws.com/compute-type
  operator: NotIn
  values: [fargate, auto]
{{- with .Values.nodeMatchExpressions }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What every container of ours may not do. */}}
{{- define "bottlerocket-updater.unprivileged" -}}
privileged: false
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* The SELinux type that may connect to the API's socket. */}}
{{- define "bottlerocket-updater.seLinuxOptions" -}}
seLinuxOptions:
  user: system_u
  role: system_r
  type: control_t
  level: s0
{{- end }}

{{/*
An object of the manifests, with the labels and annotations of the values. Takes the root, the
object, and more labels.
*/}}
{{- define "bottlerocket-updater.object" -}}
{{- $metadata := .object.metadata }}
{{- $_ := set $metadata "labels" (mergeOverwrite $metadata.labels .root.Values.labels (.more | default dict)) }}
{{- with .root.Values.annotations }}
{{- $_ := set $metadata "annotations" . }}
{{- end }}
{{- toYaml .object }}
{{- end }}
