import { setTimeout as pause } from 'node:timers/promises'
import { errorOf } from '../../contract/problem.ts'
import { SlipwayError } from '../../core/errors.ts'
import { asksRegistry } from '../control-plane/registry-command.ts'
import { chosenContext, readContexts, writeContexts } from '../control-plane/contexts.ts'
import { note, print, style } from '../output.ts'
import type { Command } from 'commander'
import type { DeviceLogin } from '../../access/sign-in.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'
import type { Context } from '../control-plane/contexts.ts'

export function define(command: Command): void {
  asksRegistry(command)
    .option('--name <context>', 'under which the control plane is remembered; default: its context, else its host')
    .addHelpText('after', '\nExample:\n  slipway login --url https://models.example.org')
    .action(login)
}

/** Sends a request to the routes of sign-in, which lie beside the API. */
async function askAuth<T>(url: string, path: string, body?: object): Promise<{ status: number; answer: T }> {
  const init = body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(`${url}/auth${path}`, init).catch((error: unknown) => {
    throw new SlipwayError('SLW_UNREACHABLE', `${url} does not answer; is the control plane running?`, { cause: error })
  })
  const { status, headers } = response
  if (!response.ok) throw errorOf(url, { status, text: await response.text(), retryAfter: headers.get('retry-after') })
  return { status, answer: (await response.json()) as T }
}

async function login(options: RegistryOptions & { name?: string }): Promise<void> {
  const target = await chosenContext(options)
  const { answer: device } = await askAuth<DeviceLogin>(target.url, '/device', {})
  note(
    `Open ${style('cyan', device.verificationUriComplete ?? device.verificationUri)} and confirm the code ${style('bold', device.userCode)}`,
  )
  for (const end = Date.now() + device.expiresInMs; Date.now() < end;) {
    const { status, answer } = await askAuth<{ token: string; name: string; expiresAt: number }>(target.url, '/device/poll', {
      handle: device.handle,
    })
    if (status === 200) {
      await remember(options.name ?? options.context, { ...target, key: answer.token })
      print(`signed in to ${target.url} as ${answer.name}, until ${new Date(answer.expiresAt).toISOString()}`)
      return
    }
    await pause(device.intervalMs)
  }
  throw new SlipwayError('SLW_DEADLINE_EXCEEDED', 'nobody confirmed the code in time; begin again')
}

/** Stores the token with the keys of contexts, readable by its owner alone. */
async function remember(name: string | undefined, context: Context): Promise<void> {
  const file = await readContexts()
  const known = Object.entries(file.contexts).find(([, { url }]) => url === context.url)?.[0]
  const chosen = name ?? known ?? new URL(context.url).host
  await writeContexts({ current: chosen, contexts: { ...file.contexts, [chosen]: context } })
}

/** Revokes the token and removes it from the contexts. */
export async function logout(options: RegistryOptions): Promise<void> {
  const target = await chosenContext(options)
  if (target.key === undefined) throw new SlipwayError('SLW_UNAUTHENTICATED', `nobody is signed in to ${target.url}`)
  const response = await fetch(`${target.url}/auth/logout`, { method: 'POST', headers: { authorization: `Bearer ${target.key}` } }).catch(
    (error: unknown) => {
      throw new SlipwayError('SLW_UNREACHABLE', `${target.url} does not answer, so the token still holds`, { cause: error })
    },
  )
  await response.arrayBuffer()
  // A token that has expired already need not be revoked.
  if (!response.ok && response.status !== 401)
    throw new SlipwayError('SLW_UNREACHABLE', `${target.url} answers ${response.status}, so the token still holds`)
  const file = await readContexts()
  const contexts = Object.fromEntries(
    Object.entries(file.contexts).map(([name, { key, ...rest }]) => [
      name,
      key === target.key || key === undefined ? rest : { ...rest, key },
    ]),
  )
  await writeContexts({ ...file, contexts })
  print(`signed out of ${target.url}`)
}
