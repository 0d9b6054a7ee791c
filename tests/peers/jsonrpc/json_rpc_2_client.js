// Calls an agent with json-rpc-2.0. Arguments: URL, token. Prints what it got as one JSON object.
const { JSONRPCClient } = require('json-rpc-2.0');
const WebSocket = require('ws');

const [url, token] = process.argv.slice(2);
const ws = new WebSocket(url, { headers: { Authorization: `Bearer ${token}` } });
const client = new JSONRPCClient((request) => ws.send(JSON.stringify(request)));

ws.on('message', (data) => client.receive(JSON.parse(data.toString())));
ws.on('open', async () => {
  const failure = (work) => work.then(
    () => null,
    (error) => ({ code: error.code, message: error.message, data: error.data }),
  );
  const report = {
    assessment: await client.request('analyze_threat', { iocs: [{ type: 'ip', value: '45.33.32.156' }] }),
    unknown: await failure(client.request('missing', {})),
    invalid: await failure(client.request('analyze_threat', { iocs: [{ type: 'ip' }] })),
  };
  client.notify('describe', {});
  report.afterwards = (await client.request('describe', {})).agent;
  console.log(JSON.stringify(report));
  ws.close();
});
