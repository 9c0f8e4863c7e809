/** `xds.node` of expressions, from the bootstrap. Set when a worker starts. */
export const celNode = { id: '', cluster: '' };
