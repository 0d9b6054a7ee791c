// Calls an agent with jayson. Arguments: URL, token. Prints what it got as one JSON object.
const jayson = require('jayson');
const WebSocket = require('ws');

const [url, token] = process.argv.slice(2);
const ws = new WebSocket(url, { headers: { Authorization: `Bearer ${token}` } });

ws.on('unexpected-response', (_request, response) => {
  console.log(JSON.stringify({ status: response.statusCode }));
  process.exit(0);
});

ws.on('open', async () => {
  const client = jayson.Client.websocket({ ws, timeout: 10000 });
  const ask = (method, params, id) =>
    new Promise((resolve, reject) =>
      client.request(method, params, id, (error, reply) => (error ? reject(error) : resolve(reply))),
    );
  const batch = (requests) =>
    new Promise((resolve, reject) =>
      client.request(requests, (error, replies) => (error ? reject(error) : resolve(replies))),
    );
  const report = {
    assessment: await ask(
      'analyze_threat',
      { alert_id: 'ALRT-2026-05821', iocs: [{ type: 'ip', value: '45.33.32.156' }] },
      'req-001',
    ),
    unknown: await ask('analyse_threat', {}, 'req-002'),
    positional: await ask('analyze_threat', ['ALRT-2026-05821'], 'req-003'),
    generated: await ask('describe', {}),
    batch: await batch([
      client.request('describe', {}, 'first'),
      client.request('notify_nothing', {}, null),
      client.request('missing', {}, 'second'),
    ]),
    many: (await Promise.all([...Array(100).keys()].map((n) => ask('describe', {}, `many-${n}`)))).map((r) => r.id),
  };
  console.log(JSON.stringify(report));
  // jayson keeps a timer per call, which would hold the process for as long as the time-out.
  process.exit(0);
});
