-- One Controller of a grid, as the cost profiles know it: no rate limits, no stream management,
-- no counters. Every path, port and secret belongs to this grid alone.
data_path = {{ (directory ~ "/data") | lua }}
certificates = {{ (directory ~ "/none") | lua }}  -- nothing is searched for: see `ssl`
umask = "077"
log = {
  { levels = { min = "info" }, to = "file", filename = {{ (directory ~ "/prosody.log") | lua }} },
  { levels = { min = "error" }, to = "file", filename = {{ (directory ~ "/errors.log") | lua }} },
}
network_backend = "epoll"
network_settings = { read_size = 8192, tcp_backlog = 1024 }
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
{% if site.options.offline %}
  "offline",
{% endif %}
{% if site.peers %}
  "grid_routes",
{% endif %}
{% for name in site.development.modules %}
  {{ name | lua }},
{% endfor %}
}
plugin_paths = { {{ (directory ~ "/modules") | lua }} }
{% if site.peers %}
grid_routes = {{ site.peers | lua }}
s2s_ports = { {{ federation_port }} }
s2s_direct_tls_ports = {}
s2s_require_encryption = true
s2s_secure_auth = true
{% else %}
modules_disabled = { "s2s", "s2s_auth_certs" }
{% endif %}
{% if site.components %}
component_ports = { {{ component_port }} }
component_interfaces = { {{ site.address | lua }} }
{% endif %}

{{ site.development.settings }}
VirtualHost {{ site.domain | lua }}
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
{% endfor %}
