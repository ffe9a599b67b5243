"""User Office, of the ESS, STFC and others: it says by itself what has changed, over AMQP.

Whenever a proposal changes, User Office publishes the whole of its present state to a fanout exchange. The portal has
a durable queue of its own there, from which one worker at a time takes message after message.

    messages.py   from bytes to a ProposalState, or the reason why not         (pure)
    portrayal.py  from a ProposalState to the Catalogue of that one proposal    (pure)
    apply.py      the order of messages, and the transaction
    broker.py     queue, dead letters, the connection
    consume.py    again and again, whatever happens to broker and database

What messages hold is read in their sources: github.com/UserOfficeProject/user-office-core,
apps/backend/src/eventHandlers/messageBroker.ts (`getProposalMessageData`); how they are sent, in
github.com/UserOfficeProject/user-office-lib, packages/message-broker/src/index.ts (`sendMessageToExchange`: persistent,
`type` is the event's name, `timestamp` is in milliseconds, no message id); how others take them, in
github.com/UserOfficeProject/connector, src/queue/consumers.
"""
