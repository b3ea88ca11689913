const ADJECTIVES =
  'able amber bold brave breezy bright brisk calm clean clear clever cosy crisp curious dapper eager early easy fair fast fine fleet fresh gentle glad golden grand happy hardy honest humble jolly keen kind lively loyal lucky mellow merry mild neat nimble noble patient plain polite proud quick quiet rapid ready robust rosy salty shiny silent silver simple sleek smooth snug steady sunny swift tidy trim upbeat vivid warm wise witty'.split(
    ' ',
  )
const NOUNS =
  'albatross anchor auk beacon bollard breeze brig buoy capstan clipper cod compass coral cormorant crab crane current cutter dinghy dock dolphin dory eel ferry fjord frigate gale galley gannet gull halyard harbour heron herring hull jetty kelp ketch keel lagoon lantern lighthouse limpet mackerel mast mooring narwhal oar osprey otter pelican pier pilot plover porpoise prow puffin quay reef rigging rudder sail salmon schooner seal sextant shoal skiff sloop spar squid starboard swell tern tide trawler tug turtle walrus wave whale wharf wren yawl'.split(
    ' ',
  )

/** Invents a name that people can tell apart and say for an object without one; the same 32 hexadecimal digits give the same name. */
export function inventName(id: string): string {
  const at = (from: number): number => Number.parseInt(id.slice(from, from + 6), 16)
  return `${ADJECTIVES[at(0) % ADJECTIVES.length]}-${NOUNS[at(6) % NOUNS.length]}-${at(12) % 1000}`
}
