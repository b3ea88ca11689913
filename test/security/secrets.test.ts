import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { secretReference } from '../../src/security/secrets/reference.ts'
import { Secrets } from '../../src/security/secrets/secrets.ts'
import { freePort } from '../fixtures.ts'
import { answers, startChild } from '../observe/child.ts'
import { TestClock } from '../models/in-registry.ts'
import { startMoto } from '../storage/s3-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const HALF_A_MINUTE_MS = 31_000

test('a reference says where a secret is, and what is none is refused without being repeated', () => {
  assert.deepEqual(secretReference('s', 'env:DB_PASSWORD'), { kind: 'env', name: 'DB_PASSWORD' })
  assert.deepEqual(secretReference('s', 'file:/run/secrets/x'), { kind: 'file', path: '/run/secrets/x' })
  assert.deepEqual(secretReference('s', 'vault:kv/team/db#password'), { kind: 'vault', mount: 'kv', path: 'team/db', field: 'password' })
  assert.deepEqual(secretReference('s', 'aws-sm:prod/db#password'), { kind: 'aws-sm', id: 'prod/db', field: 'password' })
  assert.deepEqual(secretReference('s', 'aws-sm:prod/db'), { kind: 'aws-sm', id: 'prod/db', field: undefined })
  for (const text of [
    'hunter2-the-secret',
    'env:1X',
    'vault:kv',
    'vault:kv/a',
    'vault:kv/../sys#x',
    'file:',
    'aws-sm:#x',
    'http://hunter2-the-secret',
  ])
    assert.throws(
      () => secretReference('--db-password', text),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'SLW_CONFIG_INVALID')
        assert.match(error.message, /--db-password.*expected env:NAME/)
        assert.ok(!error.message.includes('hunter2'))
        return true
      },
    )
})

test('a secret is looked up late, again after a while, and never printed', async () => {
  await using folder = await temporaryFolder()
  const path = join(folder.path, 'secret')
  await writeFile(path, 'first-value\n')
  const clock = new TestClock()
  const warnings: string[] = []
  const log = { warn: (_: object, message: string) => warnings.push(message) }
  const environment: Record<string, string> = {}
  const secrets = new Secrets({ environment, clock, log })
  const secret = secrets.secret('s', `file:${path}`)
  for (const shown of [inspect(secret), String(secret), JSON.stringify({ secret })])
    assert.ok(shown.includes(path) && !shown.includes('value'))
  assert.equal(await secret.value(), 'first-value')
  await writeFile(path, 'second-value')
  assert.equal(await secret.value(), 'first-value')
  clock.pass(HALF_A_MINUTE_MS)
  assert.equal(await secret.value(), 'second-value', 'who rotates restarts nothing')
  await writeFile(path, '')
  clock.pass(HALF_A_MINUTE_MS)
  assert.equal(await secret.value(), 'second-value', 'what cannot be had for a while is what it was')
  assert.match(warnings[0]!, /cannot be looked up, the last value is used: it is empty/)
  clock.pass(2 * 3_600_000)
  await assert.rejects(secret.value(), { code: 'SLW_SECRET_UNAVAILABLE' })
  await assert.rejects(secrets.secret('s', 'env:NOT_THERE').value(), /env:NOT_THERE cannot be had: the variable is not set/)
  environment['NOT_THERE'] = 'x'
  assert.equal(await secrets.secret('s', 'env:NOT_THERE').value(), 'x')
})

test('secrets come from a vault by its own API, and what it refuses is told without a value', { timeout: 300_000 }, async () => {
  const python = await pythonEnv('openbao')
  const port = await freePort()
  const address = `http://127.0.0.1:${port}`
  const args = ['server', '-dev', `-dev-listen-address=127.0.0.1:${port}`, '-dev-root-token-id=root', '-dev-no-store-token']
  await using _vault = await startChild(join(dirname(python), 'bao'), args, () => answers(`${address}/v1/sys/health`))
  const put = async (value: string): Promise<void> => {
    const response = await fetch(`${address}/v1/secret/data/team/db`, {
      method: 'POST',
      headers: { 'x-vault-token': 'root' },
      body: JSON.stringify({ data: { password: value } }),
    })
    assert.equal(response.status, 200, await response.text())
  }
  await put('first-value')
  const clock = new TestClock()
  const secrets = new Secrets({ environment: { VAULT_ADDR: address, VAULT_TOKEN: 'root' }, clock })
  const secret = secrets.secret('s', 'vault:secret/team/db#password')
  assert.equal(await secret.value(), 'first-value')
  await put('second-value')
  clock.pass(HALF_A_MINUTE_MS)
  assert.equal(await secret.value(), 'second-value')
  await assert.rejects(secrets.secret('s', 'vault:secret/team/db#user').value(), /has no field "user"/)
  await assert.rejects(secrets.secret('s', 'vault:secret/nobody#x').value(), /answers 404/)
  await using folder = await temporaryFolder()
  const tokenFile = join(folder.path, 'token')
  await writeFile(tokenFile, 'wrong\n')
  const byFile = new Secrets({ environment: { VAULT_ADDR: address, VAULT_TOKEN_FILE: tokenFile }, clock }).secret(
    's',
    'vault:secret/team/db#password',
  )
  await assert.rejects(byFile.value(), /answers 403/)
  await writeFile(tokenFile, 'root\n')
  assert.equal(await byFile.value(), 'second-value', 'the token of a side car is read anew')
  await assert.rejects(new Secrets({ environment: {} }).secret('s', 'vault:a/b#c').value(), /VAULT_ADDR is not set/)
})

test('secrets come from AWS Secrets Manager, whole or a field', { timeout: 300_000 }, async () => {
  await using moto = await startMoto()
  const { SecretsManagerClient, CreateSecretCommand, PutSecretValueCommand } = await import('@aws-sdk/client-secrets-manager')
  const client = new SecretsManagerClient({ endpoint: moto.endpoint, region: 'eu-central-1' })
  await client.send(new CreateSecretCommand({ Name: 'prod/db', SecretString: '{"password":"first-value","port":5432}' }))
  await client.send(new CreateSecretCommand({ Name: 'prod/plain', SecretString: 'whole-value' }))
  const clock = new TestClock()
  const secrets = new Secrets({ environment: { AWS_ENDPOINT_URL: moto.endpoint, AWS_REGION: 'eu-central-1' }, clock })
  const secret = secrets.secret('s', 'aws-sm:prod/db#password')
  assert.equal(await secret.value(), 'first-value')
  assert.equal(await secrets.secret('s', 'aws-sm:prod/plain').value(), 'whole-value')
  assert.equal(await secrets.secret('s', 'aws-sm:prod/db#port').value(), '5432')
  await client.send(new PutSecretValueCommand({ SecretId: 'prod/db', SecretString: '{"password":"second-value"}' }))
  clock.pass(HALF_A_MINUTE_MS)
  assert.equal(await secret.value(), 'second-value')
  await assert.rejects(secrets.secret('s', 'aws-sm:prod/plain#field').value(), (error: Error) => {
    assert.match(error.message, /no JSON object/)
    assert.ok(!error.message.includes('whole-value'))
    return true
  })
  await assert.rejects(secrets.secret('s', 'aws-sm:nobody').value(), { code: 'SLW_SECRET_UNAVAILABLE' })
  client.destroy()
})
