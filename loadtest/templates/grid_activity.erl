%% What Platforms do, one line of JSON each, in the file `activity.log`: who comes and goes, what is
%% asked of a Broker and what it answers. As Prosody's mod_grid_activity.
-module(grid_activity).
-export([start/2, platforms/1, owners/1, came/3, went/3, tried/3]).

-define(PUBSUB, <<"http://jabber.org/protocol/pubsub">>).
-define(OWNER, <<"http://jabber.org/protocol/pubsub#owner">>).
-define(STANZAS, <<"urn:ietf:params:xml:ns:xmpp-stanzas">>).

start(Domain, Brokers) ->
    Starter = self(),
    spawn(fun() ->
                  register(?MODULE, self()),
                  {ok, File} = file:open("activity.log", [append, raw]),
                  Starter ! {?MODULE, ready},
                  write(File)
          end),
    receive {?MODULE, ready} -> ok after 5000 -> error(no_activity_log) end,
    ejabberd_hooks:add(sm_register_connection_hook, Domain, ?MODULE, came, 50),
    ejabberd_hooks:add(sm_remove_connection_hook, Domain, ?MODULE, went, 50),
    ejabberd_hooks:add(c2s_auth_result, Domain, ?MODULE, tried, 50),
    lists:foreach(
      fun(Broker) ->
              gen_iq_handler:add_iq_handler(ejabberd_local, Broker, ?PUBSUB, ?MODULE, platforms),
              gen_iq_handler:add_iq_handler(ejabberd_local, Broker, ?OWNER, ?MODULE, owners)
      end, Brokers),
    ok.

write(File) ->
    receive
        Line ->
            ok = file:write(File, Line),
            write(File)
    end.

came(_Session, JID, Info) ->
    note([{action, <<"login">>}, {jid, jid:encode(JID)}, {address, address(Info)},
          {outcome, <<"ok">>}]).

went(_Session, JID, Info) ->
    note([{action, <<"logout">>}, {jid, jid:encode(JID)}, {address, address(Info)},
          {outcome, <<"ok">>}]).

tried(State, {false, Reason}, User) ->
    JID = jid:encode(jid:make(User, maps:get(server, State))),
    note([{action, <<"login">>}, {jid, JID}, {address, address(maps:to_list(State))},
          {outcome, condition(Reason)}]),
    State;
tried(State, _, _) ->
    State.

address(Info) ->
    case lists:keyfind(ip, 1, Info) of
        {ip, {Address, _Port}} -> list_to_binary(inet:ntoa(Address));
        _ -> undefined
    end.

condition(Reason) when is_atom(Reason) ->
    binary:replace(atom_to_binary(Reason, utf8), <<"_">>, <<"-">>, [global]);
condition(_) ->
    <<"not-authorized">>.

platforms(IQ) ->
    watched(IQ, mod_pubsub:process_pubsub(IQ)).

owners(IQ) ->
    watched(IQ, mod_pubsub:process_pubsub_owner(IQ)).

watched(IQ, Answer) ->
    case xmpp:get_type(IQ) of
        set -> tell(xmpp:encode(IQ), outcome(Answer));
        _ -> ok
    end,
    Answer.

tell({xmlel, _, Attributes, Children}, Outcome) ->
    %% The first of them: what comes after it (`configure`, `options`) only adds to it.
    case [Each || {xmlel, <<"pubsub">>, _, Inside} <- Children, {xmlel, _, _, _} = Each <- Inside] of
        [{xmlel, Action, Of, Inside} | _] ->
            Common = [{action, Action}, {jid, value(<<"from">>, Attributes)},
                      {broker, value(<<"to">>, Attributes)}, {topic, value(<<"node">>, Of)},
                      {outcome, Outcome}],
            lists:foreach(fun(About) -> note(Common ++ About) end, about(Action, Of, Inside));
        [] ->
            ok
    end.

%% What a request is about: one list for each item, account or Topic that it names.
about(Action, Of, Inside) ->
    Kind = case Action of
               <<"publish">> -> <<"item">>;
               <<"retract">> -> <<"item">>;
               <<"affiliations">> -> <<"affiliation">>;
               <<"subscriptions">> -> <<"subscription">>;
               _ -> none
           end,
    case [[{item, value(<<"id">>, Each)}, {account, value(<<"jid">>, Each)},
           {state, value(Kind, Each)}] || {xmlel, Name, Each, _} <- Inside, Name =:= Kind] of
        [] -> [[{account, value(<<"jid">>, Of)}]];
        Found -> Found
    end.

outcome(ignore) ->
    <<"unanswered">>;
outcome(Answer) ->
    {xmlel, _, Attributes, Children} = xmpp:encode(Answer),
    case value(<<"type">>, Attributes) of
        <<"error">> ->
            Conditions = [Name || {xmlel, <<"error">>, _, Inside} <- Children,
                                  {xmlel, Name, Of, _} <- Inside,
                                  value(<<"xmlns">>, Of) =:= ?STANZAS, Name =/= <<"text">>],
            hd(Conditions ++ [<<"undefined-condition">>]);
        _ ->
            States = [value(<<"subscription">>, Of) || {xmlel, <<"pubsub">>, _, Inside} <- Children,
                                                       {xmlel, <<"subscription">>, Of, _} <- Inside],
            hd([State || State <- States, State =/= <<"subscribed">>, State =/= <<"none">>]
               ++ [<<"ok">>])
    end.

value(Name, Attributes) ->
    proplists:get_value(Name, Attributes).

note(Deed) ->
    At = calendar:system_time_to_rfc3339(
           erlang:system_time(microsecond), [{unit, microsecond}, {offset, "Z"}]),
    Told = [{at, list_to_binary(At)} | [Each || {_, Value} = Each <- Deed, Value =/= undefined]],
    Fields = [["\"", atom_to_list(Name), "\":\"", escaped(Value), "\""] || {Name, Value} <- Told],
    ?MODULE ! ["{", lists:join(",", Fields), "}\n"],
    ok.

escaped(Text) ->
    << <<(letter(Letter))/binary>> || <<Letter>> <= Text >>.

letter($") -> <<"\\\"">>;
letter($\\) -> <<"\\\\">>;
letter(Letter) when Letter < 32 -> list_to_binary(io_lib:format("\\u~4.16.0b", [Letter]));
letter(Letter) -> <<Letter>>.
