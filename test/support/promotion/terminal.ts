const ESCAPE = '\u001B['
export const ERASE = `\r${ESCAPE}K`

/** What was drawn over one another, each as far as its line goes. */
export const framesIn = (text: string): string[] => text.split(ERASE).slice(1).map(frame => frame.split(/[\r\n]/, 1)[0]!)

/** The only control sequence is the one that erases a line: no color, no movement. */
export const hasOthers = (text: string): boolean => text.replaceAll(ERASE, '').includes(ESCAPE)
