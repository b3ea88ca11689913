import { readFileSync, readdirSync, readlinkSync } from 'node:fs'

/** The process that listens on a port, in words; empty where the kernel does not say. */
export function holderOf(port: number): string {
  try {
    const hexPort = port.toString(16).toUpperCase().padStart(4, '0')
    const listening = '0A'
    const inodes = new Set<string>()
    for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
      for (const line of readFileSync(table, 'utf8').split('\n').slice(1)) {
        const fields = line.trim().split(/\s+/)
        if (fields[3] === listening && fields[1]?.endsWith(`:${hexPort}`) === true && fields[9] !== undefined)
          inodes.add(`socket:[${fields[9]}]`)
      }
    }
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const holds = readLinks(`/proc/${pid}/fd`).some((link) => inodes.has(link))
      if (holds) return ` by process ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`
    }
  } catch {
    // Not Linux, or not allowed to look: the message goes without it.
  }
  return ''
}

function readLinks(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => {
      try {
        return readlinkSync(`${folder}/${name}`)
      } catch {
        return ''
      }
    })
  } catch {
    return []
  }
}
