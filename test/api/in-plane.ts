import assert from 'node:assert/strict'
import { ContentDigester } from '../../src/core/content-digest.ts'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { requireDescribed } from './described-answers.ts'
import type { ControlPlane } from '../../src/control-plane/start-control-plane.ts'
import type { ControlPlaneOptions } from '../../src/control-plane/settings.ts'

/** What a route of `/api/v1` answered. */
export interface Answered {
  readonly status: number
  readonly body: any
  readonly headers: Headers
}

/** A control plane in this process, and its API. */
export interface Plane extends AsyncDisposable {
  readonly plane: ControlPlane
  readonly url: string
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answered>
}

export async function planeInProcess(options: Partial<ControlPlaneOptions> = {}): Promise<Plane> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  const plane = opened.use(await startControlPlane({ data: folder.path, port: 0, ...options }))
  const held = opened.move()
  return {
    plane,
    url: plane.url,
    async ask(method, path, body, headers = {}) {
      const response = await fetch(`${plane.url}/api/v1${path}`, {
        method,
        headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
        ...(body !== undefined && {
          body: typeof body === 'string' || body instanceof Uint8Array ? (body as never) : JSON.stringify(body),
        }),
      })
      const text = await response.text()
      const { status, headers: told } = response
      const answered = told.get('content-type')?.includes('json') === true ? JSON.parse(text) : undefined
      requireDescribed(method, path, status, answered)
      return { status, body: answered, headers: told }
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

export function contentIdOf(bytes: Uint8Array): string {
  const digester = new ContentDigester()
  digester.update(bytes)
  return digester.finish().id
}

/** Sends files and registers them. */
export async function push(plane: Plane, model: string, files: Readonly<Record<string, Uint8Array>>, more: object = {}): Promise<Answered> {
  const listed = Object.entries(files).map(([path, bytes]) => ({ path, contentId: contentIdOf(bytes), bytes }))
  for (const { contentId, bytes } of listed) assert.equal((await plane.ask('PUT', `/contents/${contentId}`, bytes)).status, 200)
  const body = { files: listed.map(({ path, contentId }) => ({ path, contentId })), ...more }
  return await plane.ask('POST', `/models/${model}/versions`, body)
}
