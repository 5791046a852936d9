// Node loads this before the program. It connects the hosts under test to where Keyward listens, and refuses every other
// address: no test leaves this machine. TLS still sees the host's own name.
"use strict";

const net = require("node:net");

const hosts = new Set(JSON.parse(process.env.KEYWARD_TEST_HOSTS));
const [, address, port] = process.env.KEYWARD_TEST_ADDRESS.match(/^(.*):(\d+)$/);
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...given) {
  // `net.connect` hands on its arguments as one array, `tls.connect` as they are.
  const [options, ...rest] = Array.isArray(given[0]) ? given[0] : given;
  if (!hosts.has(options.host) || Number(options.port) !== 443) {
    throw new Error(`${options.host}:${options.port} is no host of this test`);
  }
  return connect.call(this, { ...options, host: address, port: Number(port) }, ...rest);
};
