-- Limits that Prosody itself does not know, as ejabberd keeps them:
--   grid_max_sessions = N      a further login of an account ends its oldest session
--   grid_failed_logins = N     so many failures in a row from one address shut it out,
--   grid_ban_s = S             for so long
local time = require "util.time".now;
local max_sessions = module:get_option_number("grid_max_sessions");
local failed_logins = module:get_option_number("grid_failed_logins");
local ban_s = module:get_option_number("grid_ban_s", 3600);

if max_sessions then
	local bound = 0;
	module:hook("resource-bind", function (event)
		local session = event.session;
		bound = bound + 1;
		session.grid_bound = bound;
		local count, oldest = 0, nil;
		for _, each in pairs(prosody.hosts[session.host].sessions[session.username].sessions) do
			count = count + 1;
			if not oldest or (each.grid_bound or 0) < (oldest.grid_bound or 0) then
				oldest = each;
			end
		end
		if count > max_sessions then
			oldest:close({ condition = "conflict"; text = "Too many sessions of this account" });
		end
	end);
end

if failed_logins then
	local failures = {}; -- by address: how many in a row, and when the last was

	local function of(address)
		local found = failures[address];
		if found and time() - found.last > ban_s then
			failures[address] = nil;
			return nil;
		end
		return found;
	end

	local function shut_out(session)
		session:close({ condition = "policy-violation"; text = "Too many failed logins" });
	end

	module:hook("authentication-failure", function (event)
		local session = event.session;
		local found = of(session.ip) or { count = 0 };
		found.count, found.last = found.count + 1, time();
		failures[session.ip] = found;
		if found.count >= failed_logins then
			module:add_timer(0, function () -- after the answer to this one
				shut_out(session);
			end);
		end
	end);

	module:hook("authentication-success", function (event)
		failures[event.session.ip] = nil;
	end);

	module:hook("stream-features", function (event)
		local found = of(event.origin.ip);
		if found and found.count >= failed_logins and event.origin.type == "c2s_unauthed" then
			shut_out(event.origin);
			return true;
		end
	end, 200);

	module:add_timer(60, function () -- what is over is forgotten
		for address in pairs(failures) do
			of(address);
		end
		return 60;
	end);
end
