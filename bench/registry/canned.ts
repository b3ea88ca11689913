/** Answers as another server did, from memory: what is left of a call's time is the client's own. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Canned extends AsyncDisposable {
  readonly uri: string
}

/** The first request of a method and address goes to `origin`, and every further one gets its answer. */
export async function startCanned(origin: string): Promise<Canned> {
  const answers = new Map<string, { status: number; type: string; body: Buffer }>()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const key = `${request.method} ${request.url}`
      const known = answers.get(key)
      if (known !== undefined) {
        response.writeHead(known.status, { 'content-type': known.type, 'content-length': known.body.length }).end(known.body)
        return
      }
      const body = Buffer.concat(chunks)
      void fetch(origin + request.url, {
        method: request.method ?? 'GET',
        headers: { 'content-type': request.headers['content-type'] ?? 'application/json' },
        ...(body.length > 0 && { body }),
      }).then(async (answer) => {
        const told = {
          status: answer.status,
          type: answer.headers.get('content-type') ?? 'application/json',
          body: Buffer.from(await answer.arrayBuffer()),
        }
        answers.set(key, told)
        response.writeHead(told.status, { 'content-type': told.type, 'content-length': told.body.length }).end(told.body)
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    uri: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
