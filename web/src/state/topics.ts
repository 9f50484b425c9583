// Which topics are wanted, by how many parts of the page, and what must be told to the server so
// that it knows. Pure: the socket sends what flush() returns.

import type { PictureKind } from './protocol';

/** Protocol limit of topics of one client, and what events, counts and health take of it. */
export const TOPICS_MAX = 64;
export const TOPICS_FIXED = 3;
/** A tile takes two topics (video and tracks); the rest is air for a view that is being left. */
export const TILES_MAX = Math.floor((TOPICS_MAX - TOPICS_FIXED) / 2) - 6;

/** The stream that is analysed, or the camera's main one where it has two. */
export type WantedStream = 'sub' | 'main';
export type WantedVideo = Extract<PictureKind, 'h264' | 'jpeg'>;

interface Wish {
  count: number;
  video: WantedVideo;
  stream: WantedStream;
}
export interface Request {
  type: 'subscribe' | 'unsubscribe';
  topics: string[];
  video?: WantedVideo;
  stream?: WantedStream;
  since?: number;
}

export class TopicBook {
  private wishes = new Map<string, Wish>();
  /** What the server has been told, with the kind of video and the stream that were asked for. */
  private told = new Map<string, { video: WantedVideo; stream: WantedStream }>();
  /** Given up by everybody since the last flush, perhaps wanted again. */
  private ended = new Set<string>();

  want(topic: string, video: WantedVideo = 'jpeg', stream: WantedStream = 'sub'): void {
    const wish = this.wishes.get(topic);
    if (wish === undefined) this.wishes.set(topic, { count: 1, video, stream });
    else {
      wish.count += 1;
      wish.video = video;
      wish.stream = stream;
    }
  }

  release(topic: string): void {
    const wish = this.wishes.get(topic);
    if (wish === undefined) return;
    wish.count -= 1;
    if (wish.count > 0) return;
    this.wishes.delete(topic);
    this.ended.add(topic);
  }

  /** A new connection: the server knows nothing yet. */
  forget(): void {
    this.told.clear();
  }

  /** The server refused this topic or has ended it: it may be asked for again. */
  lost(topic: string): void {
    this.told.delete(topic);
  }

  /** The fewest messages that bring the server from what it was told to what is wanted. */
  flush(since: number | null): Request[] {
    const gone: string[] = [];
    for (const [topic, { video, stream }] of this.told) {
      // Somebody else begins to watch with a decoder of his own: he needs a key frame, so it is asked for anew.
      const renewed = this.ended.has(topic) && topic.startsWith('video/');
      const wish = this.wishes.get(topic);
      if (wish?.video === video && wish.stream === stream && !renewed) continue;
      gone.push(topic);
      this.told.delete(topic);
    }
    this.ended.clear();
    const requests: Request[] = [];
    if (gone.length > 0) requests.push({ type: 'unsubscribe', topics: gone });
    for (const video of ['jpeg', 'h264'] as const) {
      for (const stream of ['sub', 'main'] as const) {
        const topics = this.tell(video, stream);
        if (topics.length === 0) continue;
        const request: Request = { type: 'subscribe', topics, video };
        if (stream === 'main') request.stream = stream;
        if (since !== null && topics.includes('events')) request.since = since;
        requests.push(request);
      }
    }
    return requests;
  }

  /** The topics wanted like this that the server does not know of; from now on it does. */
  private tell(video: WantedVideo, stream: WantedStream): string[] {
    const topics: string[] = [];
    for (const [topic, wish] of this.wishes) {
      if (this.told.has(topic) || wish.video !== video || wish.stream !== stream) continue;
      topics.push(topic);
      this.told.set(topic, { video, stream });
    }
    return topics;
  }
}
