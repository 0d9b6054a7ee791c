// Serves jayson over ws on a free port of the loopback interface and prints the port. Runs until its stdin ends.
const jayson = require('jayson');
const { WebSocketServer } = require('ws');

const server = new jayson.Server({
  subtract: ({ minuend, subtrahend }, callback) => callback(null, minuend - subtrahend),
  refuse: (_params, callback) => callback({ code: -32000, message: 'Not today' }),
});
const wss = new WebSocketServer({ host: '127.0.0.1', port: 0 });

wss.on('listening', () => console.log(wss.address().port));
server.websocket({ wss });
process.stdin.resume().on('end', () => process.exit(0));
