// The old Node-RED flow for plugs, and such a plug: MQTT by the `mqtt` package, envelopes 2.1 by crypto-js, in the way
// the flow's two function nodes did it. Configuration and commands as in the README; events:
//   {"event":"connected"}  {"event":"subscribed","granted":[..]}  {"event":"published"}
//   {"event":"message","topic":"..","json":{..}}  {"event":"unreadable","topic":".."}  {"event":"closed","reason":".."}

const path = require('path');
const readline = require('readline');
const modules = process.env.LANDFALL_INTEROP_NODE_MODULES;
const mqtt = require(path.join(modules, 'mqtt'));
const CryptoJS = require(path.join(modules, 'crypto-js'));

const say = (message) => process.stdout.write(JSON.stringify(message) + '\n');
const options = { mode: CryptoJS.mode.ECB, keySize: 128 };

const seal = (json, key) => {
  const cipher = CryptoJS.AES.encrypt(JSON.stringify(json), CryptoJS.enc.Utf8.parse(key), options).toString();
  const hash = CryptoJS.MD5(`data=${cipher}||pv=2.1||${key}`).toString();
  return `2.1${hash.substring(8, 24)}${cipher}`;
};

const open = (payload, key) => {
  const text = CryptoJS.AES.decrypt(payload.substring(19), CryptoJS.enc.Utf8.parse(key), options);
  return JSON.parse(CryptoJS.enc.Utf8.stringify(text));
};

let config = null;
let client = null;
let counter = 0;

const begin = () => {
  client = mqtt.connect({
    host: config.address,
    port: config.port,
    clientId: config.client_id,
    username: config.user,
    password: config.password,
    protocolId: config.mqtt === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: config.mqtt ?? 4,
    reconnectPeriod: 0,
    connectTimeout: 10000,
  });
  client.on('connect', () => say({ event: 'connected' }));
  client.on('close', () => say({ event: 'closed' }));
  client.on('error', (error) => say({ event: 'refused', code: error.code ?? null, reason: error.message }));
  client.on('message', (topic, payload) => {
    try {
      const id = topic.substring(topic.lastIndexOf('/') + 1);
      say({ event: 'message', topic, json: open(payload.toString(), config.keys[id]) });
    } catch (error) {
      say({ event: 'unreadable', topic, reason: String(error) });
    }
  });
};

const publish = (topic, json, key) =>
  client.publish(topic, seal(json, key), { qos: 1 }, (error) =>
    say(error ? { event: 'failed', reason: error.message } : { event: 'published', topic }),
  );

const now = () => Math.round(Date.now() / 1000);

const run = (command) => {
  const { id, key } = { key: config.keys[command.id], ...command };
  switch (command.do) {
    case 'subscribe':
      return client.subscribe(command.filter, { qos: 1 }, (error, granted) =>
        say({ event: 'subscribed', granted: (granted ?? []).map((g) => g.qos), reason: error?.message }),
      );
    // What the flow's encrypting node makes of {"protocol":5,"data":{"dps":{..}}}.
    case 'set':
      return publish(`smart/device/in/${id}`, { protocol: 5, t: now(), data: { devId: id, dps: command.dps } }, key);
    case 'report':
      counter += 1;
      return publish(
        `smart/device/out/${id}`,
        { protocol: 4, t: now(), data: { devId: id, dps: command.dps }, s: now() + counter },
        key,
      );
    default:
      throw new Error(`no such command: ${command.do}`);
  }
};

const input = readline.createInterface({ input: process.stdin });
input.on('line', (line) => {
  const message = JSON.parse(line);
  if (config === null) {
    config = message;
    begin();
  } else {
    run(message);
  }
});
input.on('close', () => (client ? client.end(true, {}, () => process.exit(0)) : process.exit(0)));
