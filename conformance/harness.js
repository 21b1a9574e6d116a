/**
 * Starts the real binary on an engine of choice, in a place of its own, and hands out the official
 * clients set to it.
 *
 * From the environment: `USHER_BIN` (the binary), `USHER_ENGINE` (`sqlite`, the default, or
 * `postgres`), `TEST_DATABASE_URL` (for `postgres`: a cluster in which databases may be made; the
 * form `postgres:///postgres?host=/socket/folder&user=name` works).
 */
import './guard.js'
import { checkAnswers, passwords, tokens } from './witness.js'

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import Backendless from 'backendless'
import consoleSdk from 'backendless-console-sdk'
import pg from 'pg'

export const ENGINE = process.env.USHER_ENGINE ?? 'sqlite'

const START_MS = 30_000
const STOP_MS = 20_000

/** A text that nobody else has: for names, addresses and passwords of one check. */
export const unique = (prefix = '') => `${prefix}${randomBytes(9).toString('hex')}`

/** An e-mail address that nobody else has. */
export const anAddress = (name = 'ann') => `${name}.${unique()}@example.test`

/** A password that nobody else has, long enough for every profile. */
export const aPassword = () => unique('Plenty of room 7 ')

/** A running server, and what is needed to stop, kill and start it again on the same data. */
export class Server {
  #child
  #env
  #database
  #stderr = ''

  url = ''
  port = 0
  developer = { email: anAddress('bob'), name: 'Bob', password: aPassword() }

  /** Prepares a place and starts; `env` adds settings as `USHER_…`. */
  static async start({ profile = 'compat', env = {} } = {}) {
    const server = new Server()
    server.folder = await mkdtemp(join(tmpdir(), 'usher-conformance-'))
    server.#env = {
      PATH: process.env.PATH,
      HOME: server.folder,
      USHER_DATA_DIR: join(server.folder, 'data'),
      USHER_NEW_APP_PROFILE: profile,
      ...env,
    }
    if (ENGINE === 'postgres') await server.#prepareDatabase()
    try {
      await server.#launch()
      await server.cli(
        ['developer', 'add', '--email', server.developer.email, '--name', server.developer.name, '--password-stdin'],
        server.developer.password,
      )
    } catch (error) {
      await server.stop({ gently: false })
      throw error
    }
    passwords.add(server.developer.password)
    return server
  }

  async #prepareDatabase() {
    const base = process.env.TEST_DATABASE_URL
    assert.ok(base, 'USHER_ENGINE=postgres needs TEST_DATABASE_URL, for example postgres:///postgres?host=/run/pg&user=usher')
    const name = unique('conformance_')
    const ask = async sql => {
      const client = new pg.Client({ connectionString: base })
      await client.connect()
      await client.query(sql).finally(() => client.end())
    }
    await ask(`create database ${name} template template0 encoding 'UTF8'`)
    this.#database = { drop: () => ask(`drop database if exists ${name} with (force)`) }
    // Only the name changes; a URL parser would stumble over the empty host of a socket's URL.
    const url = base.replace(/^(postgres(?:ql)?:\/\/[^/]*\/)[^?]*/, `$1${name}`)
    const keyFile = join(this.folder, 'master.key')
    await writeFile(keyFile, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
    Object.assign(this.#env, { USHER_DATABASE_URL: url, USHER_MASTER_KEY_FILE: keyFile })
  }

  /** Starts the program, on the port it had before if it had one, and waits until it is ready. */
  async #launch() {
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`]
    const child = spawn(binary(), args, { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    child.ended = new Promise(done => child.once('close', (code, signal) => done({ code, signal })))
    child.once('error', error => (this.#stderr += `${error}\n`))
    process.once('exit', () => child.kill('SIGKILL'))

    let stdout = ''
    child.stderr.setEncoding('utf8').on('data', it => (this.#stderr += it))
    const address = new Promise((found, failed) => {
      child.stdout.setEncoding('utf8').on('data', it => {
        stdout += it
        const match = /http:\/\/127\.0\.0\.1:(\d+)/.exec(stdout)
        // A number is complete when something follows it.
        if (match && stdout.length > match.index + match[0].length) found(Number(match[1]))
      })
      child.ended.then(({ code, signal }) => failed(new Error(`the server ended (${code ?? signal}) before it listened`)))
      sleep(START_MS, undefined, { ref: false }).then(() => failed(new Error(`the server printed no address in ${START_MS} ms`)))
    })
    try {
      this.port = await address
      this.url = `http://127.0.0.1:${this.port}`
      await this.#ready()
    } catch (error) {
      error.message += `\nstdout: ${stdout.slice(-2000)}\nstderr: ${this.#stderr.slice(-4000)}`
      throw error
    }
  }

  async #ready() {
    for (const started = Date.now(); Date.now() - started < START_MS; await sleep(25)) {
      const status = await new Promise(done => {
        http
          .get(`${this.url}/readyz`, { agent: false }, it => done(it.resume().statusCode))
          .on('error', () => done(0))
      })
      if (status === 200) return
    }
    throw new Error(`the server was not ready in ${START_MS} ms`)
  }

  /** Ends the server as an operator would (SIGTERM) and removes its place. */
  async stop({ gently = true } = {}) {
    try {
      if (gently) await this.#terminate()
      else await this.kill9()
    } finally {
      await this.#database?.drop()
      await rm(this.folder, { recursive: true, force: true })
    }
  }

  async #terminate() {
    const child = this.#child
    if (!isRunning(child)) throw new Error(`the server had ended by itself\n${this.#stderr.slice(-4000)}`)
    child.kill('SIGTERM')
    const late = sleep(STOP_MS, 'late', { ref: false })
    const ending = await Promise.race([child.ended, late])
    if (ending === 'late') {
      await this.kill9()
      throw new Error(`the server did not end within ${STOP_MS} ms of SIGTERM`)
    }
    assert.deepEqual(ending, { code: 0, signal: null }, `SIGTERM ends the server well\n${this.#stderr.slice(-4000)}`)
  }

  /** Ends the server in the middle of whatever it does. */
  async kill9() {
    if (isRunning(this.#child)) this.#child.kill('SIGKILL')
    await this.#child?.ended
  }

  /** Starts again on the same data and the same port, after `kill9` or in place of a running one. */
  async restart() {
    if (isRunning(this.#child)) await this.#terminate()
    // A connection that is on its way out may hold the port for a moment.
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#launch()
      } catch (error) {
        await this.kill9()
        if (tries === 5) throw error
        await sleep(300)
      }
    }
  }

  /** Runs another command of the program on the same data; gives what it printed. */
  async cli(args, input = '') {
    const child = spawn(binary(), args, { env: this.#env, stdio: 'pipe' })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', it => (stdout += it))
    child.stderr.setEncoding('utf8').on('data', it => (stderr += it))
    child.stdin.on('error', () => {}) // a command that reads nothing may be gone already
    child.stdin.end(input)
    const code = await new Promise((done, failed) => child.once('close', done).once('error', failed))
    assert.equal(code, 0, `usher ${args.join(' ')} ended with ${code}\n${stdout}\n${stderr}`)
    return stdout
  }

  /** What the server wrote into its log so far. */
  get log() {
    return this.#stderr
  }

  /** The official Console client, nobody logged in. */
  strangersConsole() {
    return consoleSdk.createClient(this.url)
  }

  /** The official Console client with the first developer logged in. */
  async consoleClient() {
    const client = this.strangersConsole()
    await client.user.login(this.developer.email, this.developer.password)
    return client
  }

  /**
   * Makes an app: through the Console client, or, if a profile is named, on the command line, for
   * the Console's call has no field for it.
   */
  async newApp({ profile, name = unique('App ') } = {}) {
    this.console ??= await this.consoleClient()
    if (profile === undefined) {
      const made = await this.console.apps.createApp({ appName: name, refCode: null })
      const settings = await this.console.settings.getAppSettings(made.id)
      return new App(this, made.id, settings.apiKeysMap, settings.apiKeys)
    }
    const args = ['app', 'create', '--name', name, '--owner', this.developer.email, '--profile', profile, '--json']
    const made = JSON.parse(await this.cli(args))
    return new App(this, made.id, made.apiKeys, [])
  }
}

/** An app of a server. */
export class App {
  constructor(server, id, keys, keyList) {
    Object.assign(this, { server, id, keys, keyList })
  }

  /** The official JavaScript client for this app; `deviceType` chooses the key. */
  client(deviceType = 'JS') {
    const apiKey = this.keys[deviceType]
    assert.ok(apiKey, `the app has no ${deviceType} key`)
    return client({ appId: this.id, apiKey, serverURL: this.server.url })
  }

  /** Registers a user with an address and a password nobody else has; gives both beside the user. */
  async register(properties = {}) {
    const who = { email: anAddress(), password: aPassword(), ...properties }
    const user = await this.client().Users.register(who)
    return { ...who, user, objectId: user.objectId }
  }

  /** Changes some login settings, as the Console does: the whole reading with the changes put in. */
  async loginSettings(changes) {
    const read = await this.server.console.users.getUsersLogin(this.id)
    return this.server.console.users.updateUsersLogin(this.id, { ...read, ...changes })
  }

  /** Changes some registration settings, likewise. */
  async registrationSettings(changes) {
    const read = await this.server.console.users.getUsersRegs(this.id)
    return this.server.console.users.updateUsersRegs(this.id, { ...read, ...changes })
  }
}

// The client prints when its first call fails. The tests look at the failure itself.
const { error } = console
console.error = (...said) => {
  if (said[0] !== 'could not load backendless app info') error.apply(console, said)
}

/** The official JavaScript client. `serverURL` has no default here: see guard.js. */
export function client(config) {
  assert.ok(config.serverURL, 'serverURL is always given')
  return Backendless.initApp({ ...config, standalone: true })
}

/** Checks that `promise` fails as the server refuses: with `code` and, where given, the rest. */
export async function refused(promise, code, { status, message } = {}) {
  let result
  try {
    result = await promise
  } catch (error) {
    const got = `${error.status} ${error.code} ${error.message}`
    assert.equal(error.code, code, got)
    if (status !== undefined) assert.equal(error.status, status, got)
    if (typeof message === 'string') assert.equal(error.message, message)
    else if (message !== undefined) assert.match(error.message, message)
    return error
  }
  assert.fail(`refusal ${code} expected, got ${JSON.stringify(result)}`)
}

/**
 * A server for the tests of one file, ended after them. `everyAnswerIsSound` belongs at the end of
 * the file.
 */
export async function serverOfThisFile(options) {
  const server = await Server.start(options)
  after(() => server.stop())
  return server
}

/** Call it last in a file: N-05, N-08 and the form of failures, over everything that was asked. */
export function everyAnswerIsSound(server) {
  test('u_n05 u_n08 every answer that this file got is sound, and no secret is in the log', () => {
    checkAnswers()
    const { log } = server
    // Thousands of tokens: look for them in what has their form, once.
    const ids = new Set(log.match(/[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}/g))
    for (const it of tokens) assert.ok(!ids.has(it), 'a token is in the log')
    for (const it of passwords) assert.ok(!log.includes(it), 'a password is in the log')
  })
}

function binary() {
  assert.ok(process.env.USHER_BIN, 'USHER_BIN names the binary under test, for example ../target/release/usher')
  return process.env.USHER_BIN
}

const isRunning = child => child !== undefined && child.exitCode === null && child.signalCode === null
