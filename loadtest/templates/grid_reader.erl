%% What whoever runs the server can read: all stanzas of its clients, one a line, in the file
%% `reader.log`, from when the file `reading` is there. As Prosody's mod_grid_reader.
-module(grid_reader).
-export([start/1, sent/1]).

start(Domain) ->
    spawn(fun() ->
                  register(?MODULE, self()),
                  wait(Domain)
          end),
    ok.

wait(Domain) ->
    case filelib:is_file("reading") of
        true ->
            {ok, File} = file:open("reader.log", [append, raw]),
            ejabberd_hooks:add(user_send_packet, Domain, ?MODULE, sent, 10),
            write(File);
        false ->
            timer:sleep(100),
            wait(Domain)
    end.

write(File) ->
    receive
        Line ->
            ok = file:write(File, Line),
            write(File)
    end.

sent({Stanza, _} = Event) ->
    ?MODULE ! [fxml:element_to_binary(xmpp:encode(Stanza)), "\n"],
    Event.
