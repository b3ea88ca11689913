import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** A way to a control plane that can be cut off. */
export interface CutOff extends AsyncDisposable {
  readonly url: string
  /** Ends all connections, and refuses others until `mend`. */
  cut(): void
  mend(): void
}

export async function cutOff(to: string): Promise<CutOff> {
  const { hostname, port } = new URL(to)
  const open = new Set<Socket>()
  let isCut = false
  const server = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const other = connect(Number(port), hostname)
    for (const [one, partner] of [
      [client, other],
      [other, client],
    ] as const) {
      open.add(one)
      one.on('error', () => partner.destroy())
      one.on('close', () => {
        open.delete(one)
        partner.destroy()
      })
      one.pipe(partner)
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    isCut = true
    for (const one of open) one.destroy()
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    mend: () => void (isCut = false),
    async [Symbol.asyncDispose]() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}
