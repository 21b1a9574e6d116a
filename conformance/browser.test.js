/**
 * The example page in a real browser: the npm client's browser build, preflights, no stray request.
 *
 * `CHROMIUM` names the browser (default `/usr/bin/chromium`).
 */
import { aPassword, anAddress, everyAnswerIsSound, serverOfThisFile } from './harness.js'
import { isLoopback } from './guard.js'

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { extname } from 'node:path'
import { after, test } from 'node:test'

import { chromium } from 'playwright-core'

const EXAMPLES = new URL('../examples/', import.meta.url)
const PACKAGES = new URL('./node_modules/', import.meta.url)
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8' }

const server = await serverOfThisFile()
const app = await server.newApp()
const site = await serveExamples()
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    // What is not loopback has no address, be it a name or a number, whoever asks: the page or
    // the browser itself.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
  ],
})
after(() => browser.close())

/** Serves the page and the client from an origin of its own, as any static server would. */
async function serveExamples() {
  const files = http.createServer(async (request, answer) => {
    const path = new URL(request.url, 'http://localhost').pathname.slice(1)
    const file = path.startsWith('node_modules/')
      ? new URL(path.slice('node_modules/'.length), PACKAGES)
      : new URL(path, EXAMPLES)
    try {
      const body = await readFile(file)
      answer.writeHead(200, { 'content-type': TYPES[extname(file.pathname)] ?? 'application/octet-stream' }).end(body)
    } catch {
      answer.writeHead(404).end()
    }
  })
  await new Promise(done => files.listen(0, '127.0.0.1', done))
  after(() => files.close())
  return `http://127.0.0.1:${files.address().port}`
}

/** A fresh page of the example that notes what it asks, its preflights and what may not happen. */
async function openPage(query = {}) {
  const context = await browser.newContext()
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const noted = { errors: [], strays: [], requests: [], preflights: await watchPreflights(page) }
  page.on('console', it => it.type() === 'error' && noted.errors.push(it.text()))
  page.on('pageerror', it => noted.errors.push(String(it)))
  page.on('request', it => {
    const url = new URL(it.url())
    noted.requests.push(`${it.method()} ${url.pathname}`)
    if (url.protocol !== 'data:' && !isLoopback(url.hostname)) noted.strays.push(url.href)
  })
  await page.goto(`${site}/login.html?${new URLSearchParams(query)}`)

  return Object.assign(page, {
    noted,
    act: name => page.getByRole('button', { name, exact: true }).click(),
    says: text => page.getByRole('status').filter({ hasText: text }).waitFor(),
    complains: text => page.getByRole('alert').filter({ hasText: text }).waitFor(),
    /** Ends the page. `expected` are parts of the console's error lines that the test provoked. */
    async finish(expected = []) {
      const unexpected = noted.errors.filter(line => !expected.some(it => line.includes(it)))
      assert.deepEqual(unexpected, [], 'the page reported errors')
      for (const it of expected) assert.ok(noted.errors.some(line => line.includes(it)), `no error line with ${it}`)
      assert.deepEqual(noted.strays, [], 'the page asked somebody else')
      await context.close()
    },
  })
}

/** Notes the preflights, which the page's own events do not show. */
async function watchPreflights(page) {
  const session = await page.context().newCDPSession(page)
  const seen = []
  session.on('Network.requestWillBeSentExtraInfo', ({ headers }) => {
    const by = name => Object.entries(headers).find(([it]) => it.toLowerCase() === name)?.[1]
    const method = by('access-control-request-method')
    if (method) seen.push(`${method} ${by('access-control-request-headers') ?? ''}`)
  })
  await session.send('Network.enable')
  return seen
}

const ours = () => ({ server: server.url, app: app.id, key: app.keys.JS })

async function fill(page, { email, password, name = '' }) {
  await page.getByLabel('E-mail').fill(email)
  await page.getByLabel('Password').fill(password)
  await page.getByLabel('Name').fill(name)
}

test('the example registers, logs in, shows the user, checks the session and logs out', async () => {
  const ann = { email: anAddress(), password: aPassword(), name: 'Ann <b>Ångström</b> 🦊' }
  const page = await openPage(ours())
  await fill(page, ann)
  await page.act('Register')
  await page.says('Registered')
  await page.act('Log in')
  await page.getByRole('heading', { name: `Logged in as ${ann.name}` }).waitFor()
  assert.ok(await page.getByText(ann.email, { exact: true }).isVisible())
  assert.equal(await page.getByLabel('Password').isVisible(), false)
  await page.act('Check the session')
  await page.says('The session is valid.')
  await page.act('Log out')
  await page.says('Logged out.')
  assert.ok(await page.getByRole('button', { name: 'Log in', exact: true }).isVisible())

  // The browser's client sent its language; the server kept it.
  const user = await app.client().Users.login(ann.email, ann.password)
  assert.equal(user.name, ann.name)
  assert.match(user.blUserLocale, /^[a-z]{2}$/)

  const paths = page.noted.requests.map(it => it.replace(/\/[0-9A-Fa-f]{8}-[^/ ]*/g, '/…'))
  for (const it of ['GET /…/…/info', 'POST /…/…/users/register', 'POST /…/…/users/login', 'GET /…/…/users/logout']) {
    assert.ok(paths.includes(it), `${it} in ${paths.join(', ')}`)
  }
  await page.finish()
})

test('the browser asks before it sends, and is let through', async () => {
  const ann = await app.register()
  const page = await openPage(ours())
  await fill(page, ann)
  await page.act('Log in')
  await page.getByRole('heading', { name: 'Logged in as' }).waitFor()
  await page.act('Check the session')
  await page.says('valid')
  await page.act('Log out')
  await page.says('Logged out')
  for (const it of ['POST content-type', 'GET user-token']) {
    assert.ok(page.noted.preflights.includes(it), `${it} in ${page.noted.preflights.join(', ')}`)
  }
  await page.finish()
})

test('the example says what went wrong', async () => {
  const ann = await app.register({ name: 'Ann' })
  const page = await openPage(ours())
  await fill(page, { ...ann, password: aPassword() })
  await page.act('Log in')
  await page.complains('E-mail or password is wrong.')
  await fill(page, ann)
  await page.act('Register')
  await page.complains('registered already')
  await page.act('Log in')
  await page.getByRole('heading', { name: 'Logged in as Ann' }).waitFor()

  // Ended from elsewhere: the newest login wins.
  await app.client().Users.login(ann.email, ann.password)
  await page.act('Check the session')
  await page.says('The session has ended.')

  await fill(page, ann)
  await page.getByLabel('API key').fill('00000000-0000-0000-0000-000000000000')
  await page.act('Log in')
  await page.complains('does not know this application')

  const closed = http.createServer().listen(0, '127.0.0.1')
  await new Promise(done => closed.once('listening', done))
  const { port } = closed.address()
  await new Promise(done => closed.close(done))
  await page.getByLabel('Server address').fill(`http://127.0.0.1:${port}`)
  await page.act('Log in')
  await page.complains('cannot be reached')
  // Chromium writes a line for each answer of 400 or above, and the client one for its first call.
  await page.finish(['status of 400', 'status of 401', 'status of 409', 'net::ERR', 'could not load backendless app info'])
})

test('a page that is sent elsewhere is caught', async () => {
  const page = await openPage({ ...ours(), server: 'http://192.0.2.1' })
  await fill(page, { email: anAddress(), password: aPassword() })
  await page.act('Log in')
  await page.complains('cannot be reached')
  assert.ok(page.noted.strays.length > 0)
  assert.ok(page.noted.strays.every(it => it.startsWith('http://192.0.2.1/')))
  assert.ok(page.noted.errors.some(it => it.includes('net::ERR_NAME_NOT_RESOLVED')), page.noted.errors.join('\n'))
  await page.context().close()
})

everyAnswerIsSound(server)
