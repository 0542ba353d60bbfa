"""A web server with faults, for the tests of downloads: what it does depends on the path. Prints its port."""

import http.server
import sys
import time

BODY = bytes(i * 7 % 251 for i in range(100_000))


class Handler(http.server.BaseHTTPRequestHandler):
    seen = {}

    def log_message(self, *_):
        pass

    def start(self):
        """Where the client wants to begin."""
        text = self.headers.get("Range", "")
        return int(text[6:].split("-")[0]) if text.startswith("bytes=") else 0

    def answer(self, body, status=200, length=None, begin=0):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{len(BODY) - 1}/{len(BODY)}")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        what = self.path.strip("/").split("/")[0]
        count = Handler.seen[self.path] = Handler.seen.get(self.path, 0) + 1
        begin = self.start()
        if what == "ok":
            self.answer(BODY[begin:], 206 if begin else 200, begin=begin)
        elif what == "truncate" and count == 1:
            self.answer(BODY[:30_000], length=len(BODY))
            self.close_connection = True
        elif what == "truncate":
            # Only who resumes gets the rest.
            self.answer(BODY[begin:] if begin == 30_000 else b"", 206 if begin else 200, begin=begin)
        elif what == "always-truncate":
            self.answer(BODY[begin : begin + 10], 206 if begin else 200, length=len(BODY) - begin, begin=begin)
            self.close_connection = True
        elif what == "no-range":
            self.answer(BODY)
        elif what == "stall":
            self.answer(BODY[:1000], length=len(BODY))
            self.wfile.flush()
            time.sleep(20)
        elif what == "redirect":
            self.send_response(302)
            self.send_header("Location", "/ok/file")
            self.end_headers()
        elif what == "loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif what == "local-file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
        elif what == "wrong":
            self.answer(bytes(len(BODY)))
        elif what == "long":
            self.answer(BODY + BODY)
        else:
            self.answer(b"no such file", 404)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def main():
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
