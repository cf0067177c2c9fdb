-- What whoever runs the server can read: all stanzas of its clients, one a line, in the file
-- `grid_reader_file`, from when the file `grid_reading_file` is there. As ejabberd's grid_reader.
local path = module:get_option_string("grid_reader_file");
local wanted = module:get_option_string("grid_reading_file");
local file;

local function read(event)
	if file then
		file:write(tostring(event.stanza), "\n");
	end
end

for _, name in ipairs { "pre-message/bare", "pre-message/full", "pre-message/host", "pre-iq/host" } do
	module:hook(name, read, 1000);
end

module:add_timer(0.1, function ()
	local asked = io.open(wanted);
	if not asked then
		return 0.1;
	end
	asked:close();
	file = assert(io.open(path, "a"));
	file:setvbuf("line");
end);

function module.unload()
	if file then
		file:close();
	end
end
