/**
 * Lets this process reach loopback and nothing else. Import it before anything that may connect.
 *
 * A client whose `serverURL` was forgotten would call its vendor, and no assertion would notice:
 * the call fails or answers, and the client prints at most a line. So an attempt throws where it is
 * made, and the process ends with a failure even if somebody swallows that.
 */
import dgram from 'node:dgram'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'

/** What was tried and refused, in words. */
export const attempts = []

const LOOPBACK = new net.BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** Tells whether `host` is this machine. `*.localhost` is, by RFC 6761 section 6.3. */
export function isLoopback(host) {
  const bare = String(host).replace(/^\[|\]$/g, '').replace(/\.$/, '').toLowerCase()
  if (bare === 'localhost' || bare.endsWith('.localhost')) return true
  const family = net.isIP(bare)
  if (family === 0) return false
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(bare)
  if (mapped) return LOOPBACK.check(mapped[1], 'ipv4')
  return LOOPBACK.check(bare, family === 6 ? 'ipv6' : 'ipv4')
}

function refuse(what, host) {
  const text = `guard: ${what} ${host} is not loopback. Give the client its serverURL`
  attempts.push(text)
  return Object.assign(new Error(text), { code: 'ENOTLOOPBACK' })
}

// Every TCP way out (http, https, tls, fetch) ends in this method. Its arguments are
// (options), (port, host) or (path), each with an optional listener, or all of them in one array.
const connect = net.Socket.prototype.connect
net.Socket.prototype.connect = function (...args) {
  const [first, second] = Array.isArray(args[0]) ? args[0] : args
  const options = typeof first === 'object' && first !== null ? first : {}
  const path = options.path ?? (typeof first === 'string' && Number.isNaN(Number(first)) ? first : undefined)
  const host = options.host ?? (typeof second === 'string' ? second : undefined) ?? 'localhost'
  if (path === undefined && !isLoopback(host)) throw refuse('a connection to', host)
  return connect.apply(this, args)
}

// A name that is not ours is not even asked for: the question itself would leave the machine.
// Names under .localhost are answered here, because not every resolver knows them.
const lookup = dns.lookup
dns.lookup = function (name, options, done) {
  const callback = typeof options === 'function' ? options : done
  const wanted = typeof options === 'object' && options !== null ? options : {}
  if (!isLoopback(name)) {
    process.nextTick(callback, refuse('the name', name))
    return undefined
  }
  if (!String(name).toLowerCase().endsWith('.localhost')) return lookup.apply(dns, arguments)
  const answer = { address: '127.0.0.1', family: 4 }
  if (wanted.all) process.nextTick(callback, null, [answer])
  else process.nextTick(callback, null, answer.address, answer.family)
  return undefined
}
dns.promises.lookup = async (name, options) => {
  if (!isLoopback(name)) throw refuse('the name', name)
  const answer = { address: '127.0.0.1', family: 4 }
  return options?.all ? [answer] : answer
}
for (const [place, names] of [
  [dns, Object.keys(dns)],
  [dns.promises, Object.keys(dns.promises)],
]) {
  for (const name of names) {
    if (!/^(resolve|reverse)/.test(name) || typeof place[name] !== 'function') continue
    place[name] = subject => {
      throw refuse('a question to a name server about', subject)
    }
  }
}

for (const name of ['connect', 'send']) {
  const original = dgram.Socket.prototype[name]
  dgram.Socket.prototype[name] = function (...args) {
    const host = args.find((it, at) => at > 0 && typeof it === 'string')
    if (host !== undefined && !isLoopback(host)) throw refuse('a datagram to', host)
    return original.apply(this, args)
  }
}

// `import { lookup } from 'node:dns'` gets the guarded ones too.
syncBuiltinESMExports()

process.on('exit', () => {
  if (attempts.length === 0) return
  process.stderr.write(`${attempts.join('\n')}\n`)
  process.exitCode = 1
})
