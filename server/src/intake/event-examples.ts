/** Events for the API's description. Each can be sent as it stands, again and again: none has an id or a time. */
export const oneEventExamples = {
  purchase: {
    summary: 'One purchase',
    value: {
      event_type: 'purchase',
      user_id: 'user_42',
      properties: { amount: 99.99, currency: 'EUR', product_id: 'prod_1234' },
      source: 'docs',
    },
  },
  batch: {
    summary: 'A batch of two',
    value: [
      { event_type: 'user_signup', user_id: 'user_43', properties: { email: 'ada@example.com' } },
      { event_type: 'page_view', user_id: 'user_43', properties: { url: '/pricing', referrer: 'direct' } },
    ],
  },
} as const

export const ndjsonExamples = {
  lines: {
    summary: 'One event a line',
    value:
      '{"event_type":"page_view","user_id":"user_44"}\n{"event_type":"custom","properties":{"action":"click"}}\n',
  },
} as const

export const cloudEventExamples = {
  structured: {
    summary: 'A CloudEvent',
    value: {
      specversion: '1.0',
      id: 'A234-1234-1234',
      source: '/shop/checkout',
      type: 'order.created',
      datacontenttype: 'application/json',
      data: { order_id: 'o-1', total: 12.5 },
    },
  },
} as const
