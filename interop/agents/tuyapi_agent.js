// tuyapi as a client, driven by JSON lines (see README.md, "Agents").
'use strict';

const path = require('path');
const readline = require('readline');
const modules = process.env.LANDFALL_INTEROP_NODE_MODULES;
const TuyAPI = require(path.join(modules, 'tuyapi'));

const say = message => process.stdout.write(JSON.stringify(message) + '\n');

let device;

async function find(config) {
  device = new TuyAPI({id: config.id, key: config.key, version: config.version});
  say({event: 'scanning'});
  await device.find({timeout: config.find});
  say({event: 'found', devices: {[config.id]: {ip: device.device.ip, version: String(device.device.version)}}});
}

async function start(config) {
  if (config.find) {
    return find(config);
  }
  device = new TuyAPI({
    id: config.id,
    key: config.key,
    ip: config.address,
    port: config.port,
    version: config.version,
    issueGetOnConnect: false,
    issueRefreshOnConnect: false
  });
  if (config.heartbeat) {
    device._pingPongPeriod = config.heartbeat; // no public setting
  }
  device.on('data', data => say({event: 'push', dps: data && data.dps ? data.dps : null, raw: String(data)}));
  device.on('dp-refresh', data => say({event: 'dp-refresh', dps: data && data.dps ? data.dps : null}));
  device.on('heartbeat', () => say({event: 'heartbeat'}));
  device.on('error', error => say({event: 'error', during: 'connection', error: String(error)}));
  device.on('disconnected', () => say({event: 'closed'}));
  await device.connect();
  say({event: 'connected'});
}

async function obey(command) {
  const points = result => (result && result.dps ? result.dps : null);
  switch (command.do) {
    case 'status': {
      const result = await device.get({schema: true, dps: command.dp || 1});
      say({event: 'status', dps: points(result), raw: String(result)});
      break;
    }
    case 'set': {
      const result = await device.set({dps: command.dp, set: command.value});
      say({event: 'set', dps: points(result)});
      break;
    }
    case 'set_many': {
      const result = await device.set({multiple: true, data: command.dps});
      say({event: 'set_many', dps: points(result)});
      break;
    }
    case 'refresh': {
      const result = await device.refresh({schema: true, requestedDPS: command.dps});
      say({event: 'refresh', dps: points(result)});
      break;
    }
    default:
      say({event: 'error', during: command.do, error: 'unknown command'});
  }
}

let first = true;
let queue = Promise.resolve();
readline.createInterface({input: process.stdin}).on('line', line => {
  if (!line.trim()) {
    return;
  }
  const message = JSON.parse(line);
  const step = first ? () => start(message) : () => obey(message);
  const what = first ? 'connect' : message.do;
  first = false;
  queue = queue.then(step).catch(error => say({event: 'error', during: what, error: String(error)}));
}).on('close', () => {
  queue.then(() => {
    if (device) {
      device.disconnect();
    }
    process.exit(0);
  });
});
