docker run -d \
  --label traefik.enable=true \
  --label "traefik.http.routers.app.rule=Host(\`app.example.com\`)" \
  --label traefik.http.services.app.loadbalancer.sticky.cookie.name=srv_id \
  --label traefik.http.services.app.loadbalancer.sticky.cookie.secure=true \
  --label traefik.http.services.app.loadbalancer.sticky.cookie.httponly=true \
  --label traefik.http.services.app.loadbalancer.sticky.cookie.samesite=lax \
  myapp/server
