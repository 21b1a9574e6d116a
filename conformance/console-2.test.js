/** A smoke test of the older Console client, 2.22: login, list, create and delete an app. */
import { everyAnswerIsSound, refused, serverOfThisFile, unique } from './harness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

import olderSdk from 'backendless-console-sdk-2'

const server = await serverOfThisFile()

test('the older Console client logs in, lists apps, makes one and deletes it', async () => {
  const { url, developer } = server
  const console = olderSdk.createClient(url)
  await refused(console.apps.getApps(), 9007, { status: 401 })
  const who = await console.user.login(developer.email, developer.password)
  assert.equal(who.name, developer.name)
  assert.ok(who.authKey)
  assert.equal((await console.user.getAccountInfo()).id, who.id)

  const appName = unique('Older ')
  const made = await console.apps.createApp({ appName, refCode: null })
  assert.equal(made.name, appName)
  assert.ok((await console.apps.getApps()).some(it => it.id === made.id && it.name === appName))
  const settings = await console.settings.getAppSettings(made.id)
  assert.equal(settings.apiKeys.length, 7)
  assert.ok(settings.apiKeysMap.JS && settings.apiKeysMap.BL)
  assert.equal((await console.users.getUsersRegs(made.id)).userRegistrationEnabled, true)
  assert.equal((await console.users.getUsersLogin(made.id)).enableMultipleLogins, false)

  await console.apps.deleteApp(made.id)
  assert.ok(!(await console.apps.getApps()).some(it => it.id === made.id))

  await console.user.logout()
  await refused(console.apps.getApps(), 9007, { status: 401 })
})

everyAnswerIsSound(server)
