// Logs one line through winston-loki, which sends snappy-packed protobuf: host, key, line.
const winston = require('winston');
const LokiTransport = require('winston-loki');

const [host, key, line] = process.argv.slice(2);
const transport = new LokiTransport({
  host,
  basicAuth: `peer:${key}`,
  labels: { job: 'winston-peer' },
  json: false,
  format: winston.format.printf((info) => info.message),
  replaceTimestamp: true,
  gracefulShutdown: false,
  onConnectionError: (error) => {
    console.error(String(error));
    process.exit(1);
  },
});
const logger = winston.createLogger({ transports: [transport] });
logger.info(line);
transport.flush().then(() => process.exit(0));
