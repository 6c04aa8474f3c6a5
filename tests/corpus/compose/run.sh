docker run -d --name uptime-kuma --restart unless-stopped \
  --network proxy \
  -v uptime-kuma:/app/data \
  --label traefik.enable=true \
  --label 'traefik.http.routers.kuma.rule=Host(`status.example.com`)' \
  -l traefik.http.routers.kuma.entrypoints=websecure \
  -l traefik.http.routers.kuma.tls.certresolver=le \
  -l "traefik.http.routers.kuma.middlewares=kuma-robots" \
  -l "traefik.http.middlewares.kuma-robots.headers.customresponseheaders.X-Robots-Tag=noindex, nofollow" \
  -l traefik.http.services.kuma.loadbalancer.server.port=3001 \
  louislam/uptime-kuma:1
