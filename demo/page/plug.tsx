/** A plug in its socket, or out of it; bytes run along the cable while B2 takes some. */
export function Plug ({ isDown, isFlowing }: { isDown: boolean, isFlowing: boolean }) {
  return (
    <svg class='plug' viewBox='0 0 240 88' width='240' height='88' aria-hidden='true' focusable='false' data-down={isDown} data-flowing={isFlowing}>
      <g class='plug-moving'>
        <path class='cable' d='M-60 44H104' />
        <path class='cable-flow' d='M-60 44H104' />
        <path class='plug-body' d='M104 22h18a22 22 0 0 1 0 44h-18a8 8 0 0 1-8-8V30a8 8 0 0 1 8-8z' />
        <path class='plug-prongs' d='M140 34h26M140 54h26' />
      </g>
      <rect class='socket' x='160' y='8' width='72' height='72' rx='16' />
      <path class='socket-holes' d='M168 34h8M168 54h8' />
      <text class='socket-name' x='204' y='51' text-anchor='middle'>B2</text>
      <circle class='socket-light' cx='219' cy='21' r='4.5' />
    </svg>
  )
}
