/** Reasons why a URI must not be kept as a place of files, wherever a client can give one. */

/**
 * Says what is wrong with the URI of a store. Places on other hosts that MLflow's clients reach by HTTP are refused: they would send files
 * there, and their token with them. So are ways out of the place, also encoded, as whoever reads it decodes once more.
 * @returns undefined where nothing is
 */
export function whyNoLocation(location: string): string | undefined {
  if (/^https?:/i.test(location)) return "the 'http' scheme is no store of files; name the store itself, such as s3://bucket/path"
  const [, scheme] = /^(s?ftp|hdfs|viewfs):/i.exec(location) ?? []
  if (scheme !== undefined)
    return `the '${scheme.toLowerCase()}' scheme names a host that whoever reads the files would connect to; name a store such as s3://bucket/path`
  if (/^mlflow-artifacts:\/\/[^/]/i.test(location)) return 'it names another host, to which clients would send files and their token'
  if (
    location.includes('\0') ||
    location.includes('\\') ||
    decodedFully(location)
      .split(/[/\\]/)
      .some((part) => part === '..' || part.includes('\0'))
  )
    return 'it leads out of where it begins'
  return undefined
}

/** Decodes until nothing changes: `%252e` is `%2e` to whoever reads it first. */
function decodedFully(text: string): string {
  for (let before = text; ; before = text) {
    try {
      text = decodeURIComponent(before)
    } catch {
      return before
    }
    if (text === before) return text
  }
}
