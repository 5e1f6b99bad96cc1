// How the TypeScript client is made of the API document.
export default {
    input: './openapi.json',
    output: { path: './directpay', importFileExtension: '.js' },
    plugins: ['@hey-api/client-fetch', '@hey-api/sdk', '@hey-api/typescript'],
};
