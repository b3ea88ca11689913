import type { StoredObject } from '../storage/objects/object-store.ts'

/** Beginning of the keys of files as they arrived. */
export const ARRIVED = 'records-arrived/'
/** Beginnings of the keys of all objects of records, of which this room takes care itself. */
export const RECORD_OBJECTS = ['records/', ARRIVED] as const

const NAME_CHARACTERS = 80

/** Key of a file as it arrived. */
export function arrivedKey(environment: string, id: string): string {
  return `${ARRIVED}${environment}/${id}`
}

/** Key of a partition, such as `records/default/churn/2026-05-01/10/ID`: names of endpoints have `-` for other characters. */
export function partitionKey(
  { environment, endpoint, hourMs }: { environment: string; endpoint: string; hourMs: number },
  id: string,
): string {
  const [date, hour] = new Date(hourMs).toISOString().split(/[T:]/)
  const name = endpoint.replaceAll(/[^A-Za-z0-9-]/g, '-').slice(0, NAME_CHARACTERS)
  return `records/${environment}/${name}/${date}/${hour}/${id}`
}

export function isRecordObject({ key }: Pick<StoredObject, 'key'>): boolean {
  return RECORD_OBJECTS.some((prefix) => key.startsWith(prefix))
}
