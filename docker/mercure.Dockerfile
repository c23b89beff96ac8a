# A processing module for mercure, on top of the image of Dockerfile:
#
#     docker build -t meddenoise:cpu . && docker build -t meddenoise-mercure:cpu -f docker/mercure.Dockerfile docker
FROM meddenoise:cpu
COPY mercure-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
HEALTHCHECK NONE
ENTRYPOINT ["sh", "/usr/local/bin/docker-entrypoint.sh"]
CMD []
