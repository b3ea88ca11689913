/** Value of a column of JSON; undefined where it is null. */
export function jsonOf<T = unknown>(text: string | null): T | undefined {
  return text === null ? undefined : (JSON.parse(text) as T)
}
