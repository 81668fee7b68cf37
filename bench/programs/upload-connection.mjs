import net from 'node:net'

const HEAD_END = '\r\n\r\n'
const EMPTY_CHUNKED = '0\r\n\r\n'

/**
 * A keep-alive connection that sends one upload after the other. Much cheaper than an HTTP client, so that the server
 * is what limits a measurement.
 */
export class UploadConnection {
  #port
  #socket
  #received = Buffer.alloc(0)
  #answer
  #failure
  #wake = () => {}

  constructor (port) {
    this.#port = port
  }

  /**
   * @param {object} upload
   * @param {string} upload.head request line and header fields, without Content-Length
   * @param {string} upload.prefix what comes before the file
   * @param {string} upload.suffix what comes after it
   * @param {number} upload.size bytes of the file, which repeats `block`
   * @param {Buffer} upload.block
   * @param {{ bytes: number, everyMs: number }} [upload.pace] as fast as the server reads, if left out
   * @returns {Promise<{ status: number, body: object, location?: string }>}
   */
  async upload ({ head, prefix, suffix, size, block, pace }) {
    this.#answer = undefined
    if (this.#socket === undefined) await this.#connect()
    const length = Buffer.byteLength(prefix) + size + Buffer.byteLength(suffix)
    const socket = this.#socket
    socket.cork()
    socket.write(`${head}Content-Length: ${length}${HEAD_END}${prefix}`)
    process.nextTick(() => socket.uncork())
    let sent = 0
    const stepBytes = pace?.bytes ?? block.length
    while (sent < size && !this.#isOver) {
      const chunk = block.subarray(0, Math.min(stepBytes, block.length, size - sent))
      sent += chunk.length
      const isFull = !socket.write(chunk)
      if (pace !== undefined) await this.#sleep(pace.everyMs)
      else if (isFull) await this.#woken()
    }
    if (!this.#isOver) socket.write(suffix)
    while (!this.#isOver) await this.#woken()
    // An answer before the end of the upload leaves a connection that is of no more use.
    if (sent < size || this.#answer?.closes === true) this.close()
    if (this.#answer === undefined) throw this.#failure
    return this.#answer
  }

  /** Ends an upload under way, which fails with `reason`. */
  close (reason = 'closed') {
    this.#socket?.destroy()
    this.#socket = undefined
    this.#failure ??= new Error(reason)
    this.#wake()
  }

  get #isOver () { return this.#answer !== undefined || this.#failure !== undefined }

  async #connect () {
    const socket = net.connect(this.#port, '127.0.0.1')
    this.#socket = socket
    this.#failure = undefined
    this.#received = Buffer.alloc(0)
    socket.setNoDelay(true)
    const fail = error => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#failure = error
      this.#wake()
    }
    socket.on('error', fail)
    socket.on('close', () => fail(new Error('the connection was closed')))
    socket.on('drain', () => this.#wake())
    socket.on('connect', () => this.#wake())
    socket.on('data', chunk => this.#onData(chunk))
    while (socket.connecting && this.#failure === undefined) await this.#woken()
    if (this.#failure !== undefined) throw this.#failure
  }

  #onData (chunk) {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const headEnd = this.#received.indexOf(HEAD_END)
    if (headEnd < 0) return
    const head = this.#received.toString('latin1', 0, headEnd)
    const bodyStart = headEnd + HEAD_END.length
    const status = Number(head.slice(9, 12))
    const bodyEnd = bodyStart + (status === 204 ? 0 : this.#bodyBytes(head))
    if (Number.isNaN(bodyEnd)) return this.#socket.destroy(new Error('an answer without Content-Length'))
    if (this.#received.length < bodyEnd) return
    this.#answer = {
      status,
      location: /^location: *(\S+)/im.exec(head)?.[1],
      closes: /^connection: *close/im.test(head),
      body: parsed(this.#received.toString('utf8', bodyStart, bodyEnd)),
    }
    this.#received = this.#received.subarray(bodyEnd)
    this.#wake()
  }

  /** Of chunked bodies only an empty one is known, which is all that a peer sends that way. */
  #bodyBytes (head) {
    if (/^transfer-encoding: *chunked/im.test(head)) return EMPTY_CHUNKED.length
    return Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? NaN)
  }

  #woken () {
    return new Promise(resolve => { this.#wake = resolve })
  }

  async #sleep (ms) {
    const woken = this.#woken()
    const timer = setTimeout(this.#wake, ms)
    await woken
    clearTimeout(timer)
  }
}

function parsed (text) {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}
