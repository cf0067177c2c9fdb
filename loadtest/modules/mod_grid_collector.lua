-- Watches the garbage collector, for a calibration, in the file `grid_collector_file`:
--   cycle TIME            a cycle ended [s, monotonic]: something that nobody refers to is finalized in each
--   whole CPU BYTES       a whole collection, asked for by the file `grid_collector_file`.ask, took so much CPU
--                         time [s] and left so many bytes
--   other TIME, own TIME  as long as there is a file `grid_collector_file`.other with a percentage, that is the
--                         collector's pause in every other turn of 1.5 s: it began, and the server's own is back
local clock, collect, now = os.clock, collectgarbage, require "util.time".monotonic;
local path = module:get_option_string("grid_collector_file");
local out = assert(io.open(path, "a"));
out:setvbuf("line");
module.grid_collector = out; -- else it would be collected with what is watched

local function watch()
	setmetatable({}, { __gc = function ()
		out:write(("cycle %.6f\n"):format(now()));
		watch();
	end });
end
watch();

module:add_timer(0.2, function ()
	local asked = io.open(path .. ".ask");
	if asked then
		asked:close();
		if os.remove(path .. ".ask") then
			for _ = 1, 7 do
				local before = clock();
				collect("collect");
				local took = clock() - before;
				out:write(("whole %.6f %.0f\n"):format(took, collect("count") * 1024));
			end
		end
	end
	return 0.2;
end);

local own; -- the server's pause, while another is tried
module:add_timer(1.5, function ()
	local other = io.open(path .. ".other");
	if own then
		collect("setpause", own);
		own = nil;
		out:write(("own %.6f\n"):format(now()));
	elseif other then
		own = collect("setpause", tonumber(other:read("*a")));
		out:write(("other %.6f\n"):format(now()));
	end
	if other then
		other:close();
	end
	return 1.5;
end);
