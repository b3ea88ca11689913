/** One message of a stream of server-sent events. */
export interface StreamMessage {
  readonly id: string | undefined
  readonly event: string | undefined
  readonly data: string | undefined
}

/** Reads server-sent events (HTML, section 9.2.6): one field a line, an empty line after each message; comments are skipped. */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<StreamMessage> {
  const decoder = new TextDecoder()
  let rest = ''
  let fields = new Map<string, string>()
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r\n|\n|\r/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') {
        if (fields.size > 0) yield { id: fields.get('id'), event: fields.get('event'), data: fields.get('data') }
        fields = new Map()
        continue
      }
      const [, name = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? []
      if (name === 'data' && fields.has('data')) fields.set('data', `${fields.get('data')!}\n${value}`)
      else if (name !== '') fields.set(name, value)
    }
  }
}
