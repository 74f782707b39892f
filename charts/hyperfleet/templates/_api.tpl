{{/* api.yaml: what the API is told beside its environment. */}}
{{- define "hyperfleet.apiConfig" -}}
{{- $v := .Values.api -}}
{{- $auth := dict "mode" $v.auth.mode -}}
{{- if eq $v.auth.mode "jwt" -}}
{{- $ca := "/var/run/secrets/kubernetes.io/serviceaccount" -}}
{{- $issuers := list -}}
{{- $bindings := list -}}
{{- if $v.auth.kubernetes.enabled -}}
{{- $issuers = append $issuers (dict "issuer" $v.auth.kubernetes.issuer "jwksURL" $v.auth.kubernetes.jwksURL
      "caFile" (printf "%s/ca.crt" $ca) "tokenFile" (printf "%s/token" $ca) "audiences" (list $v.auth.audience)) -}}
{{- if .Values.test.enabled -}}
{{- $bindings = append $bindings (dict "issuer" $v.auth.kubernetes.issuer "role" "viewer" "tenants" (list "*")
      "claims" (dict "sub" (printf "system:serviceaccount:%s:hyperfleet-api-test" .Release.Namespace))) -}}
{{- end -}}
{{- end -}}
{{- range include "hyperfleet.regions" . | fromJsonArray -}}
{{- $region := . -}}
{{- $issuer := .issuer | default $v.auth.kubernetes.issuer -}}
{{- $account := printf "system:serviceaccount:%s" .namespace -}}
{{- $shards := list -}}
{{- range $config, $c := $.Values.sentinel.configs }}{{ if $c }}{{ $shards = append $shards (include "hyperfleet.shard" (dict "config" $config "region" $region.name)) }}{{ end }}{{ end -}}
{{- $bindings = append $bindings (dict "issuer" $issuer "role" "sentinel" "tenants" (list "*") "shards" $shards
      "claims" (dict "sub" (printf "%s:hyperfleet-sentinel" $account))) -}}
{{- range $type, $_ := include "hyperfleet.adapters" $ | fromJson -}}
{{- $bindings = append $bindings (dict "issuer" $issuer "role" "adapter" "adapterName" $type "tenants" (list "*")
      "claims" (dict "sub" (printf "%s:%s-adapter" $account $type))) -}}
{{- end -}}
{{- end -}}
{{- $auth = dict "mode" "jwt" "issuers" (concat $issuers $v.auth.issuers) "bindings" (concat $bindings $v.auth.bindings) -}}
{{- end -}}
{{- $_ := set $auth "limits" $v.auth.limits -}}
retention: {{ $v.retention }}
shard-key: {{ $v.shardKey }}
request-timeout: {{ $v.requestTimeout }}
database-wait: {{ $v.database.wait }}
database-pooler: {{ $v.database.pooler }}
max-connections: {{ $v.database.maxConnections }}
required:
  {{- toYaml $v.required | nindent 2 }}
auth:
  {{- toYaml $auth | nindent 2 }}
{{- end }}

{{/* The regions that the API admits, as JSON: those that are named, and an all-in-one's own. */}}
{{- define "hyperfleet.regions" -}}
{{- $all := .Values.api.auth.regions -}}
{{- if eq .Values.role "all-in-one" -}}
{{- $all = append $all (dict "name" .Values.region.name "namespace" .Release.Namespace) -}}
{{- end -}}
{{- toJson $all -}}
{{- end }}

{{/* Environment, mounts and volumes of a container that reaches the database: (dict "root" $ "secret" …). */}}
{{- define "hyperfleet.databaseEnv" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ .secret.name }}, key: {{ .secret.key }}}
- {name: LOG_LEVEL, value: {{ .root.Values.api.logLevel }}}
{{- end }}
