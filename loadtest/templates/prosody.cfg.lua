-- One Controller of a grid, as the cost profiles know it: no stream management,
-- no counters. Every path, port and secret belongs to this grid alone.
data_path = {{ (directory ~ "/data") | lua }}
certificates = {{ (directory ~ "/none") | lua }}  -- nothing is searched for: see `ssl`
umask = "077"
log = {
  { levels = { min = "info" }, to = "file", filename = {{ (directory ~ "/prosody.log") | lua }} },
  { levels = { min = "error" }, to = "file", filename = {{ (directory ~ "/errors.log") | lua }} },
}
network_backend = "epoll"
network_settings = { tcp_backlog = 1024, nagle = false }  -- else late acknowledgements hold copies back
c2s_timeout = {{ site.options.login_s | whole }}  -- its timer holds the session of every connection so long, also of closed ones
interfaces = { {{ site.address | lua }} }
c2s_ports = { {{ site.port }} }
c2s_direct_tls_ports = { {{ site.direct_tls_port }} }
ssl = {
  key = {{ (directory ~ "/server.key") | lua }},
  certificate = {{ (directory ~ "/server.crt") | lua }},
  cafile = {{ (directory ~ "/ca.crt") | lua }},
  protocol = "tlsv1_2+",
}
c2s_require_encryption = true
{% if site.options.conflict == "refuse-new" %}
conflict_resolve = "kick_new"
{% endif %}
{% if site.options.certificates %}
{% for kind in ("c2s", "c2s_direct_tls") %}
{{ kind }}_ssl = {
  key = {{ (directory ~ "/server.key") | lua }},
  certificate = {{ (directory ~ "/server.crt") | lua }},
  cafile = {{ (directory ~ "/clients.crt") | lua }},
  protocol = "tlsv1_2+",
  verify = { "peer", "client_once" },
  verifyext = { "crl_check" },
}
{% endfor %}
authentication = "ccert"
{% else %}
authentication = "internal_hashed"
password_hash = {{ site.options.scram | lua }}
{% endif %}
storage = "internal"
modules_enabled = {
  "disco", "ping", "saslauth", "tls",
{% for each in site | modules %}
  {{ each | lua }},
{% endfor %}
{% if site.options.offline %}
  "offline",
{% endif %}
}
plugin_paths = { {{ (directory ~ "/modules") | lua }} }
{% set limits = site.limits %}
{% if limits.client or limits.server %}
limits = {
  c2s = { rate = {{ limits.client | rate }} };
  s2sin = { rate = {{ limits.server | rate }} };
}
{% endif %}
{% if site.collection %}
gc = { mode = "incremental"; threshold = {{ (100 * (1 + site.collection.growth)) | round | int }} }
{% endif %}
{% if limits.client_stanza %}
c2s_stanza_size_limit = {{ limits.client_stanza | whole }}
{% endif %}
{% if limits.server_stanza %}
s2s_stanza_size_limit = {{ limits.server_stanza | whole }}
{% endif %}
{% if limits.address %}
cthrottler_logins_count = {{ limits.address.connections }}
cthrottler_time = {{ limits.address.per | whole }}
{% endif %}
{% if limits.account.sessions %}
grid_max_sessions = {{ limits.account.sessions }}
{% endif %}
{% if limits.failed_logins %}
grid_failed_logins = {{ limits.failed_logins.count }}
grid_ban_s = {{ limits.failed_logins.ban }}
{% endif %}
{% if site.peers %}
grid_routes = {{ site.peers | lua }}
s2s_ports = { {{ federation_port }} }
s2s_direct_tls_ports = {}
s2s_require_encryption = true
s2s_secure_auth = true
{% else %}
modules_disabled = { "s2s", "s2s_auth_certs" }
{% endif %}
{% if site.options.counters %}
statistics = "internal"
statistics_interval = "manual"
http_ports = { {{ counters_port }} }
http_interfaces = { {{ site.address | lua }} }
https_ports = {}
openmetrics_allow_cidr = "127.0.0.0/8"
{% endif %}
{% if site.options.activity %}
grid_activity_file = {{ (directory ~ "/activity.log") | lua }}
{% endif %}
{% if site.options.reader %}
grid_reader_file = {{ (directory ~ "/reader.log") | lua }}
grid_reading_file = {{ (directory ~ "/reading") | lua }}
{% endif %}
{% if site.options.unlimited %}
unlimited_jids = { {{ site.owner | lua }} }
{% endif %}
{% if site.options.collector %}
grid_collector_file = {{ (directory ~ "/collector.log") | lua }}
{% endif %}
{% if site.components %}
component_ports = { {{ component_port }} }
component_interfaces = { {{ site.address | lua }} }
{% endif %}

{{ site.development.settings }}
VirtualHost {{ site.domain | lua }}
{% if site.options.administration %}  admins = { {{ site.owner | lua }} }
{% endif %}
{% if site.brokers %}  disco_items = { {% for broker in site.brokers %}{ {{ broker.jid | lua }} }, {% endfor %}}
{% endif %}
{%- for broker in site.components %}
Component {{ broker.jid | lua }}
  component_secret = {{ broker.secret | lua }}
{% endfor %}
{%- for broker in site.in_process %}
Component {{ broker.jid | lua }} "pubsub"
  admins = { {{ broker.owner | lua }} }
  pubsub_max_items = {{ site.max_items }}
{% if site.options.activity %}  modules_enabled = { "grid_activity" }
{% endif %}
{% endfor %}
