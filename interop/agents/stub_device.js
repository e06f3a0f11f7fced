// @tuyapi/stub as a device, driven by JSON lines (see README.md, "Agents").
'use strict';

const path = require('path');
const readline = require('readline');
const modules = process.env.LANDFALL_INTEROP_NODE_MODULES;
const TuyaStub = require(path.join(modules, '@tuyapi/stub'));
const stubsOwnTuyapi = require.resolve('tuyapi/lib/message-parser', {
  paths: [path.dirname(require.resolve(path.join(modules, '@tuyapi/stub')))]
});
const {MessageParser} = require(stubsOwnTuyapi);

const say = message => process.stdout.write(JSON.stringify(message) + '\n');

// The stub throws at a request that it doesn't like: that is its verdict on our client.
process.on('uncaughtException', error => say({event: 'fault', what: String(error && error.stack)}));

let stub;
readline.createInterface({input: process.stdin}).on('line', line => {
  if (!line.trim()) {
    return;
  }
  const message = JSON.parse(line);
  if (!stub) {
    stub = new TuyaStub({id: message.id, key: message.key, state: message.dps});
    if (message.version !== '3.1') {
      // The stub builds its parser for 3.1; the parser itself knows 3.3 as well.
      stub.parser = new MessageParser({key: message.key, version: Number(message.version)});
    }
    const listen = {host: message.address, port: message.port};
    stub.startServer(listen);
    stub.server.on('listening', () => say({event: 'listening', port: stub.server.address().port}));
    stub.server.on('connection', socket => {
      say({event: 'client'});
      socket.on('error', error => say({event: 'socket', error: String(error)}));
    });
    return;
  }
  if (message.do === 'read') {
    say({event: 'state', dps: stub.getState()});
  } else if (message.do === 'change') {
    Object.entries(message.dps).forEach(([dp, value]) => stub.setProperty(dp, value));
    say({event: 'changed'});
  } else {
    say({event: 'fault', what: `unknown command ${message.do}`});
  }
}).on('close', () => {
  if (stub) {
    stub.shutdown();
  }
  process.exit(0);
});
