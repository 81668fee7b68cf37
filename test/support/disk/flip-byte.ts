import { open } from 'node:fs/promises'

/** Changes a bit of a file, as a disk may. */
export async function flipByte (path: string, position: number): Promise<void> {
  const file = await open(path, 'r+')
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position)
  buffer[0]! ^= 1
  await file.write(buffer, 0, 1, position)
  await file.close()
}
