-- What Platforms do, one line of JSON each, in the file `grid_activity_file`: on a VirtualHost who
-- comes and goes, on a Broker what is asked of it and what it answers. As ejabberd's grid_activity.
local json = require "util.json";
local now = require "util.time".now;

local pubsub_ns = "http://jabber.org/protocol/pubsub";
local owner_ns = pubsub_ns .. "#owner";
local file = assert(io.open(module:get_option_string("grid_activity_file"), "a"));
file:setvbuf("line");

local function instant()
	local at = now();
	local whole = math.floor(at);
	return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. string.format(".%06dZ", math.floor((at - whole) * 1e6));
end

local function write(deed)
	deed.at = instant();
	file:write(json.encode(deed), "\n");
end

function module.unload()
	file:close();
end

local function whole_jid(session)
	return session.full_jid or module.host;
end

module:hook("resource-bind", function (event)
	write { action = "login", jid = whole_jid(event.session), address = event.session.ip, outcome = "ok" };
end);

module:hook("resource-unbind", function (event)
	write { action = "logout", jid = whole_jid(event.session), address = event.session.ip, outcome = "ok" };
end);

module:hook("authentication-failure", function (event)
	local handler = event.session.sasl_handler or {};
	local named = handler.username or (handler.state or {}).username;
	write {
		action = "login", jid = named and named .. "@" .. module.host or module.host,
		address = event.session.ip, outcome = event.condition or "not-authorized",
	};
end);

-- What a request is about: one table for each item, account or Topic that it names.
local function deeds(request)
	local about = {};
	local kind = request.name;
	local named = { publish = "item", retract = "item", affiliations = "affiliation", subscriptions = "subscription" };
	for child in request:childtags() do
		if child.name == named[kind] then
			local state = child.attr.affiliation or child.attr.subscription;
			table.insert(about, { item = child.attr.id, account = child.attr.jid, state = state });
		end
	end
	if #about == 0 then
		about[1] = { account = request.attr.jid };
	end
	return about;
end

local function outcome(reply)
	if reply.attr.type == "error" then
		local _, condition = reply:get_error();
		return condition or "undefined-condition";
	end
	local found = reply:get_child("pubsub", pubsub_ns);
	local subscription = found and found:get_child("subscription");
	local state = subscription and subscription.attr.subscription;
	if state and state ~= "subscribed" and state ~= "none" then
		return state;
	end
	return "ok";
end

local function watch(event)
	local origin, stanza = event.origin, event.stanza;
	local request = stanza.tags[1].tags[1];
	if stanza.attr.type ~= "set" or not request then
		return;
	end
	local function told(reply)
		for _, deed in ipairs(deeds(request)) do
			deed.action, deed.jid, deed.broker = request.name, stanza.attr.from, module.host;
			deed.topic, deed.outcome = request.attr.node, outcome(reply);
			write(deed);
		end
		return origin.send(reply);
	end
	event.origin = setmetatable({ send = told }, { __index = origin });
end

module:hook("iq/host/" .. pubsub_ns .. ":pubsub", watch, 100);
module:hook("iq/host/" .. owner_ns .. ":pubsub", watch, 100);
