import { exampleRow } from '../../signature/example.ts'
import { toJson } from '../../tensor/json-writer.ts'
import type { Signature } from '../../signature/signature.ts'

/** A body that the friendly dialect accepts for a model. */
export function exampleBody(signature: Signature): string {
  if (signature.image !== undefined && signature.examples.length === 0) return `{"image":"${PIXEL_PNG}"}`
  return toJson(exampleRow(signature))
}

/** One grey pixel: a valid picture for a curl line. */
const PIXEL_PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=='

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}

/** Longest body shown. A longer one would fill a screen: the line then fetches its example from the server. */
const BODY_SHOWN_MAX = 600

/** Whether a body is short enough to be shown. */
export function isShown(body: string): boolean {
  return body.length <= BODY_SHOWN_MAX
}

/**
 * A line that works when pasted into a shell.
 * @param header one more header of each request, quoted for the shell
 */
export function curlLine(url: string, endpoint: string, signature: Signature, header?: string): string {
  const curl = header === undefined ? 'curl -s' : `curl -s -H ${header}`
  const example = exampleBody(signature)
  if (!isShown(example)) {
    return `${curl} ${url}/models/${endpoint}/example | ${curl} ${url}/models/${endpoint}/predict -H 'content-type: application/json' -d @-`
  }
  return `${curl} ${url}/models/${endpoint}/predict -H 'content-type: application/json' -d ${shellQuoted(example)}`
}

/** A Python program with nothing but the standard library. */
export function pythonSnippet(url: string, endpoint: string, signature: Signature): string {
  const example = exampleBody(signature)
  const body = isShown(example)
    ? `json.dumps(json.loads(r'''${example}''')).encode()`
    : `urllib.request.urlopen("${url}/models/${endpoint}/example").read()`
  return `import json, urllib.request

body = ${body}
request = urllib.request.Request("${url}/models/${endpoint}/predict", body, {"content-type": "application/json"})
print(json.load(urllib.request.urlopen(request)))
`
}

/** TypeScript for Node and browsers. */
export function typescriptSnippet(url: string, endpoint: string, signature: Signature): string {
  const example = exampleBody(signature)
  const body = isShown(example) ? `JSON.stringify(${example})` : `await (await fetch('${url}/models/${endpoint}/example')).text()`
  return `const response = await fetch('${url}/models/${endpoint}/predict', {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: ${body},
})
console.log(await response.json())
`
}
