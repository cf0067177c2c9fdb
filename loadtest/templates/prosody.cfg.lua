-- One Controller of a grid, as the cost profiles know it: no rate limits, no stream management,
-- no counters, no federation. Every path, port and secret belongs to this grid alone.
data_path = {{ (directory ~ "/data") | lua }}
certificates = {{ (directory ~ "/none") | lua }}  -- nothing is searched for: see `ssl`
umask = "077"
log = {
  { levels = { min = "info" }, to = "file", filename = {{ (directory ~ "/prosody.log") | lua }} },
  { levels = { min = "error" }, to = "file", filename = {{ (directory ~ "/errors.log") | lua }} },
}
network_backend = "epoll"
network_settings = { read_size = 8192, tcp_backlog = 1024 }
interfaces = { {{ address | lua }} }
c2s_ports = { {{ port }} }
c2s_direct_tls_ports = { {{ direct_tls_port }} }
ssl = {
  key = {{ (directory ~ "/server.key") | lua }},
  certificate = {{ (directory ~ "/server.crt") | lua }},
  cafile = {{ (directory ~ "/ca.crt") | lua }},
  protocol = "tlsv1_2+",
}
c2s_require_encryption = true
authentication = "internal_hashed"
password_hash = "SHA-256"
storage = "internal"
modules_enabled = { "disco", "ping", "saslauth", "tls" }
modules_disabled = { "s2s", "s2s_auth_certs" }

VirtualHost {{ domain | lua }}
{% if brokers %}  disco_items = { {% for broker in brokers %}{ {{ broker.jid | lua }} }, {% endfor %}}
{% endif %}
{%- for broker in brokers %}
Component {{ broker.jid | lua }} "pubsub"
  admins = { {{ broker.owner | lua }} }
  pubsub_max_items = {{ broker.max_items }}
{% endfor %}
