/** That the guard bites: each way out of the machine fails the process, loopback does not. */
import './guard.js'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import http from 'node:http'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { isLoopback } from './guard.js'

const HERE = fileURLToPath(new URL('.', import.meta.url))

/** Runs `code` in a process of its own, behind the guard; gives its exit code and what it said. */
function run(code, env = {}) {
  const args = ['--input-type=module', '--import', './guard.js', '--eval', code]
  return new Promise(done => {
    execFile(process.execPath, args, { cwd: HERE, env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      done({ exit: error ? error.code : 0, said: stdout + stderr })
    })
  })
}

// 192.0.2.0/24 and 2001:db8::/32 are set aside for documentation: even without the guard nobody
// is disturbed. Each line swallows its failure, as a client's own error handling would.
const WAYS_OUT = [
  ['net, an address', `import net from 'node:net'; try { net.connect(80, '192.0.2.1').on('error', () => {}) } catch {}`],
  ['net, options', `import net from 'node:net'; try { net.connect({ port: 80, host: '2001:db8::1' }).on('error', () => {}) } catch {}`],
  ['net, a mapped address', `import net from 'node:net'; try { net.connect(80, '::ffff:192.0.2.1').on('error', () => {}) } catch {}`],
  ['net, every interface', `import net from 'node:net'; try { net.connect(1, '0.0.0.0').on('error', () => {}) } catch {}`],
  ['http, a name', `import http from 'node:http'; try { http.get('http://nobody.invalid/').on('error', () => {}) } catch {}`],
  ['https, a name', `import https from 'node:https'; try { https.get('https://nobody.invalid/').on('error', () => {}) } catch {}`],
  ['fetch', `await fetch('http://192.0.2.1/').catch(() => {})`],
  ['a look-up', `import dns from 'node:dns'; dns.lookup('nobody.invalid', () => {})`],
  ['a look-up, promised', `import dns from 'node:dns/promises'; await dns.lookup('nobody.invalid').catch(() => {})`],
  ['a name server', `import dns from 'node:dns'; try { dns.resolve4('nobody.invalid', () => {}) } catch {}`],
  ['a datagram', `import dgram from 'node:dgram'; const it = dgram.createSocket('udp4'); try { it.send('x', 53, '192.0.2.1', () => it.close()) } catch { it.close() }`],
  ['a name that only begins like ours', `await fetch('http://localhost.invalid/').catch(() => {})`],
  [
    'the client without its serverURL',
    `import Backendless from 'backendless'; console.error = () => {}
     Backendless.initApp({ appId: 'A', apiKey: 'K', standalone: true })`,
  ],
]

for (const [name, code] of WAYS_OUT) {
  test(`the guard bites: ${name}`, async () => {
    const { exit, said } = await run(code)
    assert.equal(exit, 1, said)
    assert.match(said, /guard: .+ is not loopback/)
  })
}

test('the guard lets loopback through: an address, localhost and names under it', async () => {
  const server = http.createServer((_, answer) => answer.end('here')).listen(0, '127.0.0.1')
  await new Promise(done => server.once('listening', done))
  const { port } = server.address()
  const code = `import http from 'node:http'
    const get = url => new Promise((ok, no) => http.get(url, { agent: false }, it => ok(it.resume().statusCode)).on('error', no))
    for (const host of ['127.0.0.1', 'localhost', 'app1.localhost']) console.log(host, await get('http://' + host + ':${port}/'))
    console.log(await (await fetch('http://app1.localhost:${port}/')).text())`
  const { exit, said } = await run(code)
  server.close()
  assert.equal(exit, 0, said)
  assert.match(said, /127\.0\.0\.1 200\nlocalhost 200\napp1\.localhost 200\nhere/)
})

test('the guard lets the client through when its serverURL is this machine', async () => {
  const server = http.createServer((_, answer) => answer.end('{"loggers":[]}')).listen(0, '127.0.0.1')
  await new Promise(done => server.once('listening', done))
  const code = `import Backendless from 'backendless'
    const app = Backendless.initApp({ appId: 'A', apiKey: 'K', standalone: true, serverURL: process.env.SERVER })
    console.log(JSON.stringify(await app.appInfoPromise())); process.exit()`
  const { exit, said } = await run(code, { SERVER: `http://127.0.0.1:${server.address().port}` })
  server.close()
  assert.equal(exit, 0, said)
  assert.match(said, /\{"loggers":\[\]\}/)
})

test('the guard knows this machine by all of its names and nobody else by them', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', '[::1]', 'LOCALHOST', 'a.localhost', 'localhost.', '::ffff:127.0.0.1']) {
    assert.ok(isLoopback(host), host)
  }
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '192.0.2.1', '128.0.0.1', 'localhost.example', 'notlocalhost', '127.0.0.1.example', '']) {
    assert.ok(!isLoopback(host), host)
  }
})
