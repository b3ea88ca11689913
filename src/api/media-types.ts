import mime from 'mime'

/** Endings of files that people read, which are shown as text whatever else they are. */
const TEXT =
  /\.(txt|log|err|cfg|conf|cnf|cf|ini|properties|prop|hocon|toml|ya?ml|xml|json|js|py3?|csv|tsv|md|rst|ipynb)$|^(MLmodel|MLproject)$/

/** The media type of a file by its name, as MLflow's server gives it: text for what people read, bytes where nothing is known. */
export function mediaTypeOf(name: string): string {
  return TEXT.test(name) ? 'text/plain; charset=utf-8' : (mime.getType(name) ?? 'application/octet-stream')
}

/** `Content-Disposition` of a file to be kept (RFC 6266), with its name for clients of any age. */
export function attachmentOf(name: string): string {
  const plain = name.replaceAll(/[^\u0020-\u007E]|["\\%]/g, '_')
  const encoded = encodeURIComponent(name).replaceAll(/['()*]/g, (mark) => `%${mark.codePointAt(0)!.toString(16).toUpperCase()}`)
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`
}
