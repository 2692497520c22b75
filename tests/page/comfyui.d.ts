// What of ComfyUI's page the modules use; its own package of types lacks most of it.
declare module "*/scripts/app.js" {
  export const app: any;
}
declare module "*/scripts/api.js" {
  export const api: any;
}
interface Window {
  LiteGraph: any;
}
