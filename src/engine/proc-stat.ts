import { readFileSync } from 'node:fs'

/**
 * Reads a number that the kernel reports for a process or thread.
 * @param path `/proc/[pid]/stat`, or that of a task
 * @param field counted as proc(5) does, from 3 on: 19 is the nice value, 20 the number of threads
 * @throws when the process or thread is gone, or there is no /proc
 */
export function statField(path: string, field: number): number {
  const stat = readFileSync(path, 'utf8')
  // The second field is a name in brackets, which may contain any character.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[field - 3])
}
