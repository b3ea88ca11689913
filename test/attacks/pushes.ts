import assert from 'node:assert/strict'
import { addingModel } from '../adding-models.ts'
import { contentIdOf } from '../api/in-plane.ts'

/** A version that a control plane has acknowledged. */
export interface Acknowledged {
  readonly model: string
  readonly version: number
  readonly contentId: string
}

/** Pushes versions, each of other bytes, until the control plane is gone. */
export async function pushAll(url: string, name: string, acknowledged: Acknowledged[], over: () => boolean): Promise<void> {
  for (let number = 1; !over(); number++) {
    const bytes = addingModel(acknowledged.length * 1000 + number + Math.random())
    const contentId = contentIdOf(bytes)
    try {
      await fetch(`${url}/api/v1/contents/${contentId}`, { method: 'PUT', body: bytes as never })
      const answer = await fetch(`${url}/api/v1/models/${name}/versions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ files: [{ path: 'model.onnx', contentId }] }),
      })
      if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`)
      acknowledged.push({ model: name, version: ((await answer.json()) as { version: number }).version, contentId })
    } catch (error) {
      if (over() || isNetworkError(error)) return
      throw error
    }
  }
}

function isNetworkError(error: unknown): boolean {
  return error instanceof TypeError
}

/** Every version is there, was judged by its files, and has its bytes. */
export async function requireKept(url: string, acknowledged: readonly Acknowledged[]): Promise<void> {
  for (const { model, version, contentId } of acknowledged) {
    const at = `${url}/api/v1/models/${model}/versions/${version}`
    const told = (await (await fetch(at)).json()) as { servable: string; servableReason?: string }
    assert.equal(told.servable, 'yes', `${model}/${version}: ${told.servableReason}`)
    const bytes = new Uint8Array(await (await fetch(`${at}/files/model.onnx`)).arrayBuffer())
    assert.equal(contentIdOf(bytes), contentId, `${model}/${version}`)
  }
}
